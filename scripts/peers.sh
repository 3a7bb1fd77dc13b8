#!/usr/bin/env bash
# The table of docs/benchmarks for this machine: ViT-B/16 and, when ../shared is there, the trained ViT-S.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(scripts/test_env.sh)
"$python" -c 'import openvino' 2>/dev/null || "$python" -m pip install --quiet openvino
cache="${XDG_CACHE_HOME:-$HOME/.cache}/vitrail/models"
"$python" benchmarks/peers.py "$cache/vit_base_patch16_224.onnx" --timm vit_base_patch16_224 --title "ViT-B/16 224 (timm, random weights, seed 0)" "$@"
trained=../shared/data/models/dinov2s_cifar10.onnx
if [ -f "$trained" ]; then
  "$python" benchmarks/peers.py "$trained" --timm vit_small_patch14_dinov2:img_size=224,num_classes=10 --title "DINOv2-S/14 224, trained on CIFAR-10" "$@"
else
  echo "left out: $trained is not there" >&2
fi
