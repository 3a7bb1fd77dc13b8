#!/usr/bin/env bash
# From a model file to a verified, measured and reported engine: see demo/report.html and demo/astronaut_focus.png afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/fetch_demo.sh demo/input
# As the model was trained: the whole picture, the rest filled up.
echo '{"height":224,"width":224,"resize_mode":"longest","interpolation":"bilinear"}' >demo/input/preprocess.json
build/bin/vitrail optimize demo/input/vit_s_focus.onnx --preprocess demo/input/preprocess.json \
  --images demo/input/photographs -o demo \
  --max-seconds "${DEMO_SECONDS:-60}" --layers
# What people look at first, bright.
build/bin/vitrail run demo/engine.vtl --image demo/input/photographs/astronaut.png --output output_importance=demo/astronaut_focus.png
