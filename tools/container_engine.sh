#!/bin/sh
# Makes sure that a Docker engine with compose answers. Where none does, TRADEWIND_CONTAINER_ENGINE may
# name a program that starts one and provides the base image; without it, this says what is missing.
set -eu

if docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
  exit 0
fi
if [ -n "${TRADEWIND_CONTAINER_ENGINE:-}" ]; then
  "$TRADEWIND_CONTAINER_ENGINE"
  exec docker info >/dev/null
fi
echo "no Docker engine with compose answers (docker info, docker compose version)" >&2
exit 1
