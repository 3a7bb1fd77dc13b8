#!/usr/bin/env bash
# Makes a folder of Debian trixie with PyPI's perf-analyzer in it, whose binary needs glibc 2.38: Debian 12 has 2.36.
# Run as root; about 300 MB in the cache folder. tests/cli/test_perf_analyzer.py uses it from then on.
set -euo pipefail
version=2.60.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/vitrail"
folder="$cache/trixie"
if [ -x "$folder/usr/local/bin/perf_analyzer" ]; then
  echo "$folder"
  exit 0
fi
command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
mkdir -p "$cache"
rm -rf "$folder" "$folder.wheel"
debootstrap --variant=minbase --include=zlib1g,libssl3t64,libstdc++6,libzstd1 trixie "$folder" http://deb.debian.org/debian >&2
python3 -m pip download --quiet --no-deps --only-binary=:all: --platform manylinux_2_38_x86_64 -d "$folder.wheel" "perf-analyzer==$version" >&2
python3 -m zipfile -e "$folder.wheel"/perf_analyzer-*.whl "$folder.wheel/files"
install -m 755 "$folder.wheel/files/perf_analyzer/bin/perf_analyzer" "$folder/usr/local/bin/perf_analyzer"
rm -rf "$folder.wheel"
chroot "$folder" perf_analyzer --version >&2
echo "$folder"
