#!/bin/sh
# As in the official image: a configuration file is an argument for "serve".
set -eu

case ${1:-} in
    *.yml | *.yaml) set -- serve "$@" ;;
esac
case ${1:-} in
    serve | garbage-collect | help | -*) set -- docker-registry "$@" ;;
esac

exec "$@"
