#!/usr/bin/env bash
# Runs every test of a preset: the layering check, the C++ programs and the command line as a user would use it.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:?usage: test.sh PRESET}
python=$(scripts/test_env.sh)
export VTL_PYTHON="$python"
export VTL_EXPORTS="${XDG_CACHE_HOME:-$HOME/.cache}/vitrail/exports"
export VTL_ONNX_NODE_TESTS
VTL_ONNX_NODE_TESTS=$("$python" -c 'import onnx.backend.test as t, os; print(os.path.join(os.path.dirname(t.__file__), "data", "node"))')
export VTL_BINARY="$PWD/build/$preset/bin/vitrail"
python3 scripts/check_layers.py
scripts/fetch_demo.sh "${XDG_CACHE_HOME:-$HOME/.cache}/vitrail/demo"
export VTL_DEMO="${XDG_CACHE_HOME:-$HOME/.cache}/vitrail/demo"
"$python" tests/tools/export_timm.py "$VTL_EXPORTS"
ctest --preset "$preset" -j "$(nproc)"
"$python" -m pytest -q tests/cli
