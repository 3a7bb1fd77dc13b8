#!/usr/bin/env bash
# Fuzzes every kind of file with libFuzzer, the sanitizers watching: fuzz.sh SECONDS JOBS. What is found stays in
# build/fuzz/findings/, the grown corpus in the cache folder, for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz.sh SECONDS JOBS} jobs=${2:?usage: fuzz.sh SECONDS JOBS}
if ! command -v clang++ >/dev/null; then
  VTL_FUZZ=1 scripts/install_deps.sh
fi
cmake --preset fuzz
cmake --build --preset fuzz -j "$jobs" --target fuzz_image fuzz_npy fuzz_vtl fuzz_onnx fuzz_safetensors fuzz_infer
python=$(scripts/test_env.sh)
corpus="${XDG_CACHE_HOME:-$HOME/.cache}/vitrail/fuzz" findings=build/fuzz/findings
"$python" tests/fuzz/make_corpus.py "$corpus" build/bin/vitrail
mkdir -p "$findings"
for target in image npy vtl onnx safetensors infer; do
  mkdir -p "$corpus/grown/$target"
  build/fuzz/bin/fuzz_$target -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 \
    -jobs="$jobs" -workers="$jobs" -artifact_prefix="$findings/$target-" "$corpus/grown/$target" "$corpus/$target"
done
