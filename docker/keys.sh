#!/bin/sh
# Makes the key that signs bundles, once, and gives the public one to those who trust it.
set -eu
[ -e /signing/signing.key ] || rm -f /signing/signing.key.pub
[ -e /signing/signing.key ] || python -c \
    "from pathlib import Path; from tradewind.bundle import SigningKey; SigningKey.create(Path('/signing/signing.key'))"
cp /signing/signing.key.pub /trusted/signing.key.pub
