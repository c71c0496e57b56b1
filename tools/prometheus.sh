#!/bin/sh
# Makes sure that Prometheus and promtool are installed, for `make monitoring-check`.
# Exits with 1 where one is missing and cannot be installed from Debian's packages.
set -eu

if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "prometheus or promtool is not installed (Debian: apt-get install prometheus)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# The package would start a server of its own; only the programs are wanted.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
apt-get -qq install -y --no-install-recommends prometheus >/dev/null || status=$?
rm -f /usr/sbin/policy-rc.d
exit "${status:-0}"
