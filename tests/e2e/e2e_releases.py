"""Releases for the tests: small changes of the images that serve, some of them bad ones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import docker
from e2e_platform import NAME, Platform

REPOSITORY = f"{NAME}-release"
# What the good image runs: gunicorn with its settings, from the image's own folder.
SERVE = "gunicorn --config gunicorn.conf.py erni_backend.main:app"
# With which the application begins an answer; /health and /readiness have none.
FIRST_LINE = "    chat: Chat = .*"
WAIT = "import asyncio; await asyncio.sleep(2)"
BACKENDS = {
    "good": "LABEL variant=good",
    "better": "LABEL variant=better",
    "crashing": """CMD ["python3", "-c", "raise SystemExit('there is no colour named octarine')"]""",
    "never-ready": """CMD ["python3", "-m", "http.server", "8000"]""",
    "dying": f"""CMD ["timeout", "--signal=KILL", "12", "sh", "-c", "exec {SERVE}"]""",
    "failing": rf"RUN sed -i 's/^{FIRST_LINE}/    raise RuntimeError(1)/' erni_backend/conversation.py",
    "slow": rf"RUN sed -i 's/^{FIRST_LINE}/&\n    {WAIT}/' erni_backend/conversation.py",
}


@dataclass
class Releases:
    """References by variant. ``wish`` is what RELEASE says of a backend beside the frontend that serves; ``inventorys``
    is the id of the release that served before any of these."""

    inventorys: str
    frontend: str
    backends: dict[str, str] = field(default_factory=dict)

    def wish(self, variant: str) -> str:
        return f"backend={self.backends[variant]},frontend={self.frontend}"

    def another(self, platform: Platform) -> str:
        """RELEASE= for a good release that does not serve now."""
        serving = platform.container("backend").attrs["Config"]["Image"]
        return self.wish(next(variant for variant in ("good", "better") if self.backends[variant] != serving))


@contextmanager
def built(platform: Platform) -> Iterator[Releases]:
    """Images made of the backend that serves; they go with the tests."""
    image = platform.container("backend").attrs["Config"]["Image"]
    user = platform.engine.images.get(image).attrs["Config"]["User"]
    releases = Releases(platform.release(), platform.container("frontend").attrs["Config"]["Image"])
    try:
        for variant, change in BACKENDS.items():
            dockerfile = f"FROM {image}\nUSER root\n{change}\nUSER {user}\n"
            tag = f"{REPOSITORY}/backend:{variant}"
            platform.engine.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=tag, rm=True, forcerm=True)
            releases.backends[variant] = tag
        yield releases
    finally:
        forget(platform.engine)


def forget(engine: docker.DockerClient) -> None:
    """The tests' own names; what containers are still made of goes with those."""
    for image in engine.images.list(filters={"reference": f"{REPOSITORY}/*"}):
        for tag in image.tags:
            if tag.startswith(REPOSITORY):
                engine.images.remove(tag, force=True)  # what a container is made of stays, without the name
