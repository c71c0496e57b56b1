#!/bin/sh
# Makes sure that h2load is installed, the load generator written in C of tests/bench/bench_load.py.
# Exits with 1 where it is missing and cannot be installed from Debian's packages.
set -eu

if command -v h2load >/dev/null; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "h2load is not installed (Debian: apt-get install nghttp2-client)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends nghttp2-client >/dev/null
command -v h2load >/dev/null
