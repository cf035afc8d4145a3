#!/bin/sh
# The official image renders templates with envsubst and runs /docker-entrypoint.d here. This one does
# neither: the configuration is mounted complete, after it has been checked.
exec "$@"
