#!/bin/sh
# The root file system is read-only, and Numba reads its cache only where it could write it: the
# kernels that the image was built with go to the temporary file system first.
set -eu
mkdir -p "$NUMBA_CACHE_DIR"
cp -R /opt/kernels/. "$NUMBA_CACHE_DIR"
exec "$@"
