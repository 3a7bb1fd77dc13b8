# SPDX-License-Identifier: Apache-2.0
"""A model of transformers through the whole program, without ONNX."""
import os
import pathlib

import pytest
from conftest import ROOT

MODELS = pathlib.Path(os.environ.get("VTL_SAFETENSORS", ROOT / ".cache/safetensors"))


@pytest.fixture(scope="module")
def model():
    if not (MODELS / "vit_classifier").is_dir():
        pytest.skip(f"no models in {MODELS}: run tests/tools/export_safetensors.py")
    return MODELS / "vit_classifier"


def test_from_the_folder_to_a_verified_engine(vitrail, model, pictures, tmp_path):
    described = vitrail.json("inspect", model)
    assert described["parameters"] > 50000
    engine = tmp_path / "model.vtl"
    vitrail("build", model, "-o", engine)
    vitrail("verify", engine, "--reference", model / "model.safetensors", "--images", pictures)
    picture = next(p for p in sorted(pictures.rglob("*")) if p.is_file())
    assert "héron" in vitrail("run", engine, "--image", picture, "--top", 3).stdout


def test_shards_build_the_same_bytes_twice(vitrail, model, tmp_path):
    index = MODELS / "vit_sharded" / "model.safetensors.index.json"
    for name in ("a.vtl", "b.vtl"):
        vitrail("build", index, "-o", tmp_path / name)
    assert (tmp_path / "a.vtl").read_bytes() == (tmp_path / "b.vtl").read_bytes()
