#!/usr/bin/env bash
# Prints the Python of a virtual environment that has what the tests compare with, making it when it is not there yet.
# It is kept outside the checkout and shared by all of them: PyTorch is large. VTL_PYTHON names another one.
set -euo pipefail
if [ -n "${VTL_PYTHON:-}" ]; then
  echo "$VTL_PYTHON"
  exit 0
fi
requirements="$(dirname "$0")/../tests/requirements.txt"
key=$(python3 -c 'import hashlib,sys;print(hashlib.sha256(open(sys.argv[1],"rb").read()).hexdigest()[:12])' "$requirements")
venv="${XDG_CACHE_HOME:-$HOME/.cache}/vitrail/venv-$key"
if [ ! -f "$venv/complete" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
  touch "$venv/complete"
fi
echo "$venv/bin/python"
