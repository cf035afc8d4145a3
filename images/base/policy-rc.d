#!/bin/sh
# 101 is "action forbidden": a package that is installed into an image must not start its service.
exit 101
