#!/bin/sh
# Makes sure that a headless Chromium is installed; the tests look at the live view with it.
# Exits with 1 where it is missing and cannot be installed from Debian's packages.
set -eu

installed() {
  command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null
}

if installed; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "Chromium is not installed (Debian: apt-get install chromium-headless-shell)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends chromium-headless-shell >/dev/null ||
  apt-get -qq install -y --no-install-recommends chromium >/dev/null
installed
