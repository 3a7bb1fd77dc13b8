#!/usr/bin/env bash
# Installs the system packages that are missing, through the package manager, and asks for nothing. Debian 12 and
# Ubuntu 24.04 have all of them under these names.
set -euo pipefail

packages=(
  cmake ninja-build g++ pkg-config ccache
  libonnx-dev protobuf-compiler libprotobuf-dev
  libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libxxhash-dev zlib1g-dev
  libjpeg-dev libpng-dev libwebp-dev
  libboost-dev libgrpc++-dev libssl-dev protobuf-compiler-grpc
  libgtest-dev libgmock-dev libbenchmark-dev
  python3 python3-venv python3-pip git
)
# libFuzzer comes with clang, which only `make fuzz` needs.
[ -n "${VTL_FUZZ:-}" ] && packages+=(clang)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "vitrail needs these packages (Debian names): ${missing[*]}" >&2
  exit 4
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "run as root, or install: ${missing[*]}" >&2; exit 4; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
