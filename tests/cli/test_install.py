# SPDX-License-Identifier: Apache-2.0
"""find_package(vitrail) from an install tree: the example builds, runs and agrees with the command line."""
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import BINARY, ROOT


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_example_builds_from_the_installed_package(vitrail, engine, pictures, tmp_path):
    build = pathlib.Path(BINARY).resolve().parents[1]
    if "VITRAIL_SANITIZE:STRING=\n" not in (build / "CMakeCache.txt").read_text():
        pytest.skip(f"{build} is built with a sanitizer, which the example would have to be linked with too")
    run("cmake", "--install", build, "--prefix", tmp_path / "prefix")
    # The Python package is found beside the program.
    done = subprocess.run([tmp_path / "prefix/bin/vitrail", "export", "nothing", "-o", tmp_path / "m.onnx"], capture_output=True, text=True,
                          cwd=tmp_path, env={**os.environ, "VTL_PYTHON": sys.executable, "PYTHONPATH": ""})
    assert done.returncode == 2 and "timm:NAME" in done.stderr, done.stderr
    run("cmake", "-S", ROOT / "examples", "-B", tmp_path / "example", f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}")
    run("cmake", "--build", tmp_path / "example")
    picture = pictures / "class0/picture.png"
    text = run(tmp_path / "example/classify", engine, picture)
    best = vitrail.json("run", engine, "--image", picture, "--top", 1)["results"][0]["top"][0]
    line = text.splitlines()[1].split()
    assert int(line[2]) == best["index"] and abs(float(line[0]) - 100 * best["score"]) < 0.1
    assert len((ROOT / "examples/classify.cpp").read_text().splitlines()) < 60


@pytest.mark.parametrize("header", sorted(p.name for p in (ROOT / "include/vitrail").glob("*.h")))
def test_public_header_compiles_alone(header, tmp_path):
    source = tmp_path / "alone.cpp"
    source.write_text(f'#include "vitrail/{header}"\n')
    run("c++", "-std=c++20", "-fsyntax-only", "-I", ROOT / "include", source)
