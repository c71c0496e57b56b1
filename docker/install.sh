#!/bin/sh
# Installs a requirement file into an image. torch comes as a CPU build unless TORCH_BUILD says otherwise: the plain
# one of the default index brings gigabytes of CUDA on x86-64, and an image that does so is not built in silence.
set -eu
requirements=$1
constraints=$(mktemp)
if [ "${TORCH_BUILD:-cpu}" = cpu ] && [ "$(uname -m)" = x86_64 ]; then
  sed -n 's/^torch==[^+]*$/&+cpu/p' "$requirements" >"$constraints"
fi
if ! pip install --no-cache-dir --no-compile --find-links /wheels \
  --constraint "$constraints" --requirement "$requirements"; then
  if [ -s "$constraints" ]; then
    echo "The image takes $(cat "$constraints"), a build for the CPU. Where pip does not find it, name an index that" >&2
    echo "has it (PIP_EXTRA_INDEX_URL=...) or wheels gathered by 'make wheels' (WHEELS=build/wheels); TORCH_BUILD=any" >&2
    echo "takes whatever torch the index has. See docs/operations/deployment.md, \"Where the wheels come from\"." >&2
  fi
  exit 1
fi
rm "$constraints"
