#!/bin/sh
# Makes sure that PostgreSQL's server is installed; the tests start one of their own from it.
# Exits with 1 where it is missing and cannot be installed from Debian's packages.
set -eu

installed() {
  command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

if installed; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "PostgreSQL's server is not installed (Debian: apt-get install postgresql)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends postgresql >/dev/null
installed
