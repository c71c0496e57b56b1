#!/bin/sh
# Makes sure that what `make faults` breaks things with is installed: libfaketime, iptables, iproute2.
# Exits with 1 where one is missing and cannot be installed from Debian's packages.
set -eu

installed() {
  ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 && command -v iptables >/dev/null && command -v ip >/dev/null
}

if installed; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed: one of libfaketime, iptables, ip (Debian: apt-get install faketime iptables iproute2)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends faketime iptables iproute2 >/dev/null
installed
