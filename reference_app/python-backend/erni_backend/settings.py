"""The environment variables, read once, and the reasons why the backend would refuse to start with them.

Nothing here imports more than the standard library, so that the rules can be tested without the backend's packages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ENVIRONMENTS = ("development", "staging", "production")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
RATE_LIMIT_STORAGES = ("redis", "memory")

# Health checks ask by these names whatever the operator allows; without them a strict ALLOWED_HOSTS would make a
# healthy container look dead.
INTERNAL_HOSTS = ("127.0.0.1", "localhost", "backend", "erni-backend")

MINIMUM_LENGTHS = {
    "OPENAI_API_KEY": 1,
    "OPENAI_VECTOR_STORE_ID": 1,
    "SECRET_KEY": 32,
    "JWT_SECRET_KEY": 32,
    "DB_PASSWORD": 16,
    "REDIS_PASSWORD": 16,
}
SECRETS = tuple(MINIMUM_LENGTHS)
# While a key is rotated: what the key before has signed is still valid.
PREVIOUS_KEYS = ("SECRET_KEY_PREVIOUS", "JWT_SECRET_KEY_PREVIOUS")

# Found anywhere in a value these give a placeholder away. Each is long enough that a random secret does not contain it
# by chance.
PLACEHOLDER_PARTS = (
    "changeme",
    "change-me",
    "change_me",
    "change this",
    "placeholder",
    "replaceme",
    "replace-me",
    "replace_me",
    "insert-here",
    "not-a-secret",
    "supersecret",
    "your-secret",
    "your_secret",
)
PLACEHOLDER_STARTS = ("your-", "your_", "<", "${", "sk-your", "vs_your")
WELL_KNOWN = ("password", "secret", "admin", "test", "postgres", "redis", "erni", "erni_user", "none", "null", "todo")
FEWEST_DISTINCT_CHARACTERS = 6


class ConfigurationError(Exception):
    """The environment does not allow a start; `problems` are sentences that name variables and never show values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """What the backend is told. Secrets stay out of `repr`, so that a stray log line cannot show them."""

    environment: str = "development"
    debug: bool = False
    log_level: str = "INFO"
    require_auth: bool = False
    enable_metrics: bool = False
    allowed_hosts: tuple[str, ...] = INTERNAL_HOSTS
    cors_origins: tuple[str, ...] = ()
    rate_limit_per_minute: int = 60
    rate_limit_per_hour: int = 1_000
    rate_limit_per_day: int = 10_000
    rate_limit_storage: str = "redis"
    sessions_db_path: str = "/app/data/conversations.db"
    guardrail_cache_ttl: int = 3_600
    agent_timeout_seconds: float = 60.0
    main_agent_model: str = ""
    guardrail_model: str = ""
    database_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    jwt_secret_key: str = field(default="", repr=False)
    previous_jwt_secret_key: str = field(default="", repr=False)
    demo_users: Mapping[str, str] = field(default_factory=dict, repr=False)


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings, or raise `ConfigurationError` with every problem at once."""
    reader = _Reader(environ)
    settings = Settings(
        environment=reader.choice("ENVIRONMENT", ENVIRONMENTS, "development"),
        debug=reader.flag("DEBUG"),
        log_level=reader.choice("LOG_LEVEL", LOG_LEVELS, "INFO", str.upper),
        require_auth=reader.flag("REQUIRE_AUTH"),
        enable_metrics=reader.flag("ENABLE_METRICS"),
        allowed_hosts=_allowed_hosts(reader),
        cors_origins=reader.words("CORS_ORIGINS"),
        rate_limit_per_minute=reader.whole("RATE_LIMIT_PER_MINUTE", 60, least=1),
        rate_limit_per_hour=reader.whole("RATE_LIMIT_PER_HOUR", 1_000, least=1),
        rate_limit_per_day=reader.whole("RATE_LIMIT_PER_DAY", 10_000, least=1),
        rate_limit_storage=reader.choice("RATE_LIMIT_STORAGE", RATE_LIMIT_STORAGES, "redis"),
        sessions_db_path=reader.text("SESSIONS_DB_PATH", "/app/data/conversations.db"),
        guardrail_cache_ttl=reader.whole("GUARDRAIL_CACHE_TTL", 3_600, least=0),
        agent_timeout_seconds=reader.whole("AGENT_TIMEOUT_SECONDS", 60, least=1),
        main_agent_model=reader.text("OPENAI_MAIN_AGENT_MODEL"),
        guardrail_model=reader.text("OPENAI_GUARDRAIL_MODEL"),
        database_url=reader.text("DATABASE_URL"),
        redis_url=reader.text("REDIS_URL"),
        jwt_secret_key=reader.text("JWT_SECRET_KEY"),
        previous_jwt_secret_key=reader.text("JWT_SECRET_KEY_PREVIOUS"),
        demo_users=reader.users("DEMO_USERS"),
    )
    problems = reader.problems + secret_problems(environ, settings.environment) + database_problems(settings)
    if problems:
        raise ConfigurationError(problems)
    return settings


def secret_problems(environ: Mapping[str, str], environment: str) -> list[str]:
    """Production accepts strong secrets only; elsewhere the vector store's id alone is required, as in the product."""
    if environment != "production":
        return [] if environ.get("OPENAI_VECTOR_STORE_ID") else [_missing("OPENAI_VECTOR_STORE_ID")]
    problems = [problem for name in SECRETS if (problem := weakness(name, environ.get(name, "")))]
    if environ.get("SECRET_KEY") and environ.get("SECRET_KEY") == environ.get("JWT_SECRET_KEY"):
        problems.append("SECRET_KEY and JWT_SECRET_KEY are equal; generate each of them on its own.")
    return problems


def weakness(name: str, value: str) -> str | None:
    """Say in one sentence why `value` will not do for the secret `name`, without showing it."""
    least = MINIMUM_LENGTHS[name]
    if not value.strip():
        return _missing(name)
    if is_placeholder(value):
        return f"{name} is a placeholder or a well-known value; generate a random one."
    if len(value) < least:
        return f"{name} is shorter than {least} characters; generate a longer one."
    if least > 1 and len(set(value)) < FEWEST_DISTINCT_CHARACTERS:
        return f"{name} repeats the same few characters; generate a random one."
    return None


def is_placeholder(value: str) -> bool:
    """Tell whether a value was plainly copied from an example or a manual."""
    lowered = value.strip().lower()
    return (
        lowered in WELL_KNOWN
        or lowered.startswith(PLACEHOLDER_STARTS)
        or lowered.endswith("...")
        or any(part in lowered for part in PLACEHOLDER_PARTS)
    )


def database_problems(settings: Settings) -> list[str]:
    """In production messages belong in PostgreSQL, and nowhere else."""
    if settings.environment != "production" or is_postgresql(settings.database_url):
        return []
    if not settings.database_url:
        return [_missing("DATABASE_URL")]
    return ["DATABASE_URL does not name a PostgreSQL database, which production requires; use postgresql://…."]


def is_postgresql(url: str) -> bool:
    """Tell whether the URL names PostgreSQL, with or without an SQLAlchemy driver (`postgresql+asyncpg`)."""
    return url.partition(":")[0].partition("+")[0] in ("postgresql", "postgres")


def secret_values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every secret the environment holds, also those inside URLs, longest first: what a log line must not show."""
    values = {environ.get(name, "") for name in (*SECRETS, *PREVIOUS_KEYS, "SMTP_PASSWORD", "SENTRY_DSN")}
    values |= {_password_in(environ.get(name, "")) for name in ("DATABASE_URL", "REDIS_URL")}
    values |= set(_Reader(environ).users("DEMO_USERS").values())
    return tuple(sorted((value for value in values if value), key=len, reverse=True))


def _password_in(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _allowed_hosts(reader: _Reader) -> tuple[str, ...]:
    named = reader.words("ALLOWED_HOSTS") or (reader.text("PUBLIC_HOSTNAME", "localhost"),)
    return tuple(dict.fromkeys((*named, *INTERNAL_HOSTS)))


def _missing(name: str) -> str:
    return f"{name} is not set; give it to the container's environment."


class _Reader:
    """Reads typed values and collects problems, so that an operator hears of all of them in one start."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self._environ.get(name, "").strip() or default

    def flag(self, name: str) -> bool:
        value = self.text(name, "false").lower()
        if value not in ("true", "false", "1", "0", "yes", "no"):
            self.problems.append(f"{name} is neither true nor false; write one of the two.")
        return value in ("true", "1", "yes")

    def whole(self, name: str, default: int, least: int) -> int:
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit() and int(value) >= least):
            self.problems.append(f"{name} is not a whole number of at least {least}; write one.")
            return default
        return int(value)

    def choice(self, name: str, known: tuple[str, ...], default: str, fold: Callable[[str], str] = str.lower) -> str:
        value = fold(self.text(name, default))
        if value not in known:
            self.problems.append(f"{name} is not one of {', '.join(known)}; write one of them.")
            return default
        return value

    def words(self, name: str) -> tuple[str, ...]:
        """A comma-separated list; a JSON list's brackets and quotes are tolerated, as the product's settings do."""
        parts = (part.strip(" \t[]\"'") for part in self.text(name).split(","))
        return tuple(part for part in parts if part)

    def users(self, name: str) -> dict[str, str]:
        pairs = [part.strip().partition(":") for part in self.text(name).split(",") if part.strip()]
        if any(not user or not password for user, _, password in pairs):
            self.problems.append(f"{name} does not read name:password[,name:password]; write it so.")
        return {user: password for user, _, password in pairs if user and password}
