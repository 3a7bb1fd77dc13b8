#!/usr/bin/env bash
# Prints what tells CMake to compile for this machine's GPUs alone: the kernels for all of them take a third of the whole
# build. Whoever builds for other machines does without (`make build`).
set -euo pipefail
found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | awk '/^[0-9]+\.[0-9]+$/ && $1 >= 7.5' | sort -u || true)
if [ -z "$found" ]; then
  echo "no NVIDIA GPU of compute capability 7.5 or more here: built without the CUDA backend (\`make build\` builds all of it)" >&2
  echo "-DVITRAIL_CUDA=OFF"
  exit 0
fi
# What Hopper alone has needs the architecture's own name.
list=$(sed -e 's/\.//' -e 's/^90$/90a/' -e 's/$/-real/' <<<"$found" | paste -sd ';')
echo "-DVITRAIL_CUDA=AUTO -DVITRAIL_CUDA_ARCHITECTURES=$list"
