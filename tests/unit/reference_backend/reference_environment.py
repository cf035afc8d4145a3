"""What several of these tests need: where the reference application lies, and an environment it starts in."""

from __future__ import annotations

from pathlib import Path

REFERENCE_APP = Path(__file__).parents[3] / "reference_app"
BACKEND = REFERENCE_APP / "python-backend"
SCRIPTS = REFERENCE_APP / "scripts"

SOUND = {
    "ENVIRONMENT": "production",
    "OPENAI_API_KEY": "sk-k3JvT9xQ2mLw8RzY",
    "OPENAI_VECTOR_STORE_ID": "vs_9QmX4tLr",
    "SECRET_KEY": "nV7pQ2xK9wLm4RtYz8BcD3fGh6JsUa1E",
    "JWT_SECRET_KEY": "Wq5Zt8Ln2Rm7Xc4Vb9Kp3Hs6Gd1Fj0Ty",
    "DB_PASSWORD": "hT4mQz9Lw2XrK7vB",
    "REDIS_PASSWORD": "bN8vC3xZ6kJ1hG5f",
    "DATABASE_URL": "postgresql://app:hT4mQz9Lw2XrK7vB@postgres:5432/erni_agents",
    "REDIS_URL": "redis://:bN8vC3xZ6kJ1hG5f@redis:6379/0",
}
