#!/bin/sh
# As in the official image: an option, or anything that is no command, is an argument for node.
set -eu

if [ "${1#-}" != "$1" ] || ! command -v "$1" >/dev/null || { [ -f "$1" ] && [ ! -x "$1" ]; }; then
    set -- node "$@"
fi

exec "$@"
