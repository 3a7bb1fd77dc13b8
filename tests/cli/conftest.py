# SPDX-License-Identifier: Apache-2.0
"""The command line as a user runs it: the binary of VTL_BINARY, models of tests/tools/export_timm.py (VTL_EXPORTS)."""
import json
import os
import pathlib
import subprocess

import numpy
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("VTL_BINARY", str(ROOT / "build/dev/bin/vitrail"))
EXPORTS = pathlib.Path(os.environ.get("VTL_EXPORTS", ROOT / ".cache/timm_exports"))
SHARED = ROOT.parent / "shared" / "data"
SANITIZER = os.environ.get("VTL_SANITIZER")  # of BINARY: asan, tsan or none


class Vitrail:
    def __call__(self, *arguments, expect=0, **options):
        done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=900, **options)
        assert done.returncode == expect, f"exit {done.returncode}, expected {expect}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments, expect=0, **options):
        return json.loads(self(*arguments, "--json", expect=expect, **options).stdout)


@pytest.fixture(scope="session")
def vitrail():
    return Vitrail()


@pytest.fixture(scope="session")
def exports():
    if not any(EXPORTS.glob("*.onnx")):
        pytest.skip(f"no exported models in {EXPORTS}: run tests/tools/export_timm.py")
    return EXPORTS


@pytest.fixture(scope="session")
def tiny(exports):
    """A ViT with a class token, exported by TorchScript."""
    return exports / next(p.name for p in sorted(exports.glob("cls*ts17*.onnx")))


@pytest.fixture(scope="session")
def engine(vitrail, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("engine") / "tiny.vtl"
    vitrail("build", tiny, "-o", path, "--profile", "1:2:8")
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    random = numpy.random.default_rng(0)
    for i, (suffix, size) in enumerate([("png", (40, 30)), ("jpg", (64, 64)), ("webp", (33, 50))]):
        sub = folder / f"class{i}"
        sub.mkdir()
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=numpy.uint8)).save(sub / f"picture.{suffix}")
    return folder


@pytest.fixture(scope="session")
def shared_model():
    path = SHARED / "models/dinov2s_cifar10.onnx"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    if SANITIZER:
        pytest.skip("a model of 22 million weights takes minutes a test under a sanitizer; small ones run the same code")
    return path
