#!/usr/bin/env python3
"""Checks the secrets before anything is started: exit 0 if all will do, else 1 and a sentence for each that will not.

Reads the environment, or with `--env-file FILE` a file of NAME=value lines as docker reads it. Shows names, never
values. It stands alone on purpose, so that it can be copied to a host that has no checkout and no packages.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

MINIMUM_LENGTHS = {
    "OPENAI_API_KEY": 1,
    "OPENAI_VECTOR_STORE_ID": 1,
    "SECRET_KEY": 32,
    "JWT_SECRET_KEY": 32,
    "DB_PASSWORD": 16,
    "REDIS_PASSWORD": 16,
}
# Random text for a secret, of more than the required length.
GENERATE = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
REMEDIES = {
    "OPENAI_API_KEY": "create a key in the OpenAI account and set it",
    "OPENAI_VECTOR_STORE_ID": "set the id of the vector store that holds the knowledge base",
}
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


def problems(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that would keep the backend from starting in production."""
    found = [sentence for name in MINIMUM_LENGTHS if (sentence := problem(name, environ.get(name, "")))]
    if environ.get("SECRET_KEY") and environ.get("SECRET_KEY") == environ.get("JWT_SECRET_KEY"):
        found.append(f"SECRET_KEY and JWT_SECRET_KEY are equal; generate each on its own: {GENERATE}.")
    return found


def problem(name: str, value: str) -> str | None:
    """What is wrong with one variable and what to do about it, or None."""
    least = MINIMUM_LENGTHS[name]
    remedy = REMEDIES.get(name, f"generate one: {GENERATE}")
    if not value.strip():
        return f"{name} is missing; {remedy}."
    if is_placeholder(value):
        return f"{name} is a placeholder or a well-known value; {remedy}."
    if len(value) < least:
        return f"{name} is shorter than {least} characters; {remedy}."
    if least > 1 and len(set(value)) < FEWEST_DISTINCT_CHARACTERS:
        return f"{name} repeats the same few characters; {remedy}."
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


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines as docker reads them: no quoting, no expansion, `#` begins a comment line."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def main(arguments: list[str]) -> int:
    """Print the verdict and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the secrets before a start; names are shown, values never.")
    parser.add_argument("--env-file", type=Path, help="check this file's variables instead of the environment's")
    path = parser.parse_args(arguments).env_file
    try:
        environ = os.environ if path is None else read_env_file(path)
    except (OSError, UnicodeDecodeError) as error:
        print(f"The file {path} cannot be read ({type(error).__name__}); name a readable file.", file=sys.stderr)
        return 1
    found = problems(environ)
    for sentence in found:
        print(sentence, file=sys.stderr)
    if found:
        print(f"Preflight: {len(found)} of {len(MINIMUM_LENGTHS) + 1} checks failed.")
        return 1
    print("Preflight: all is well.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
