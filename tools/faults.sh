#!/bin/sh
# Makes sure that what `make faults` breaks things with is installed: libfaketime and iptables.
# Exits with 1 where one is missing and cannot be installed from Debian's packages.
set -eu

installed() {
  ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 && command -v iptables >/dev/null
}

if installed; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "libfaketime or iptables is not installed (Debian: apt-get install faketime iptables)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends faketime iptables >/dev/null
installed
