#!/usr/bin/env bash
# Runs every test of a preset: the layering check, the C++ programs and the command line as a user would use it.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:?usage: test.sh PRESET}
python=$(scripts/test_env.sh)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/vitrail"
export VTL_PYTHON="$python"
export VTL_BINARY="$PWD/build/$preset/bin/vitrail"
export VTL_EXPORTS="$cache/exports" VTL_SAFETENSORS="$cache/safetensors" VTL_FUZZ_CORPUS="$cache/fuzz"
export VTL_DEMO="$cache/demo" VTL_ONNX_NODE_TESTS="$cache/onnx_node_tests"
case $preset in asan | tsan) export VTL_SANITIZER=$preset ;; esac
[ "$preset" = tsan ] && export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp:${TSAN_OPTIONS:-}"

python3 scripts/check_layers.py
# Models and expectations, made once and kept outside the checkout.
scripts/fetch_demo.sh "$VTL_DEMO"
"$python" tests/tools/export_timm.py "$VTL_EXPORTS" --families >/dev/null
"$python" tests/reference/onnx_node_tests.py src/graph/ops.def src/import/onnx/restated.def "$VTL_ONNX_NODE_TESTS"
"$python" tests/tools/export_safetensors.py "$VTL_SAFETENSORS" >/dev/null
"$python" tests/fuzz/make_corpus.py "$VTL_FUZZ_CORPUS" "$VTL_BINARY"
ctest --preset "$preset" -j "$(nproc)"
# CTest names what was skipped, but not why.
echo "Reasons for what was skipped, and how many tests gave each:"
awk '/^Skipped: / { print } /: Skipped$/ { getline; print }' "build/$preset/Testing/Temporary/LastTest.log" | sort | uniq -c
"$python" -m pytest -q -rs tests/cli
