#!/bin/sh
# Starts Redis with the contract of the official image's entrypoint.
set -eu

case ${1:-} in
    -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi

# The official image is compiled without protected mode: inside a container every client is remote.
# Where a configuration file is given, that file decides.
if [ "$1" = redis-server ]; then
    case ${2:-} in
        '' | --*) shift && set -- redis-server --protected-mode no "$@" ;;
    esac
fi

# What Redis saves is for Redis alone, unless whoever started the container chose another mask.
if [ "$(umask)" = 0022 ]; then
    umask 0077
fi

exec "$@"
