#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a machine with a GPU is borrowed for, run in the repository root with what was carried there in .dev/:
#   .dev/vitrail .dev/test_cuda      programs built elsewhere
#   .dev/models/*.onnx               models (without any, ViT-B/16 is exported from timm)
#   .dev/data/                       pictures for accuracy; .dev/data/calibration/ for fp8, else .dev/data itself
#
#   scripts/gpu_session.sh [SECTION…]    tests sanitize peers accuracy memory (default: all, in this order)
#
# Every section has a limit of its own in seconds (TESTS_S=120 and so on), writes into $OUT, and does not stop the ones behind
# it. Ends with a line for each, and with 1 when one failed. PRECISIONS, BATCHES, ROUNDS and PEER_FLAGS go to the measuring.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
out=${OUT:-gpu_session}
mkdir -p "$out"
vitrail=.dev/vitrail
python=${VTL_PYTHON:-python3}
precisions=${PRECISIONS:-fp32,tf32,fp16,bf16,fp8,int8}
batches=${BATCHES:-1,8,32,64,128}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod +x .dev/vitrail .dev/test_cuda 2>/dev/null || true

# The first model that was carried; else ViT-B/16 with random weights of seed 0.
model() {
  local found
  found=$(find .dev/models -name '*.onnx' 2>/dev/null | sort | head -1)
  if [ -z "$found" ]; then
    found=$work/vit_base_patch16_224.onnx
    [ -f "$found" ] || "$python" -c "import sys, pathlib; sys.path.insert(0, 'benchmarks'); import peers
peers.export('vit_base_patch16_224', pathlib.Path('$found'))" >&2 || return 1
  fi
  echo "$found"
}

calibration() { if [ -d .dev/data/calibration ]; then echo .dev/data/calibration; else echo .dev/data; fi; }

# build PRECISION ENGINE [FLAG…]: keeps the build's JSON (layers, warnings) in $out.
build() {
  local precision=$1 engine=$2 flags=()
  shift 2
  [ "$precision" = fp8 ] && [ -d .dev/data ] && flags+=(--calibrate "$(calibration)")
  "$vitrail" build "$(model)" -o "$engine" --backend cuda --precision "$precision" --profile 1:32:128 --workspace 8GiB \
    --timing-cache "$work/tactics.json" --json ${flags[@]+"${flags[@]}"} "$@" >"$out/build_$precision.json"
}

section_tests() { .dev/test_cuda --gtest_output="xml:$out/test_cuda.xml" ${TEST_FLAGS:-}; }

# Memory errors, then reads of what nobody wrote, then races in shared memory; the slow tests are left out.
section_sanitize() {
  local sanitizer status=0
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | tail -1)
  [ -n "$sanitizer" ] || { echo "compute-sanitizer is not installed here"; return 77; }
  for tool in memcheck initcheck racecheck; do
    echo "== $tool"
    timeout "$((${SANITIZE_S:-300} / 3))" "$sanitizer" --tool "$tool" --error-exitcode 9 --kernel-regex kns=vitrail \
      .dev/test_cuda --gtest_filter="${SANITIZE_FILTER:-*-*Slow*:*Large*}" --gtest_brief=1 >"$out/sanitize_$tool.log" 2>&1
    local rc=$?
    tail -3 "$out/sanitize_$tool.log"
    [ $rc -eq 0 ] || { echo "$tool: exit $rc"; status=1; }
  done
  return $status
}

section_peers() {
  local flags=()
  [ -d .dev/data ] && flags+=(--calibrate "$(calibration)")
  # A carried model whose architecture is not the default must say so: TIMM=vit_small_patch14_dinov2:img_size=224,num_classes=10
  "$python" benchmarks/peers.py "$(model)" --device cuda --vitrail "$vitrail" --precisions "$precisions" --batch "$batches" \
    --timm "${TIMM:-vit_base_patch16_224}" --rounds "${ROUNDS:-5}" --json "$out/peers.json" --markdown "$out/peers.md" \
    ${flags[@]+"${flags[@]}"} ${PEER_FLAGS:-} || return 1
  "$python" benchmarks/chart.py "$out/peers.json" -o "$out/throughput.svg" --title "ViT throughput, ${TIMM:-vit_base_patch16_224}"
}

# Each precision against the model on the reference backend: the reference is slow, so a dozen pictures.
section_accuracy() {
  [ -d .dev/data ] || { echo "no pictures in .dev/data"; return 77; }
  local precision scaled status=0
  for precision in ${precisions//,/ }; do
    case $precision in fp32) scaled=1e-3 ;; tf32) scaled=1e-2 ;; fp16 | bf16) scaled=5e-2 ;; *) scaled=3e-1 ;; esac
    build "$precision" "$work/$precision.vtl" || { echo "$precision: no engine"; status=1; continue; }
    "$vitrail" verify "$work/$precision.vtl" --reference "$(model)" --images .dev/data --samples "${SAMPLES:-12}" --max-scaled-error "$scaled" \
      --min-cosine "${MIN_COSINE:-0.99}" --json >"$out/verify_$precision.json" 2>"$out/verify_$precision.log" || status=1
    "$python" - "$out/verify_$precision.json" "$precision" <<'PY'
import json, sys
try:
    report = json.load(open(sys.argv[1]))
except ValueError:
    sys.exit(f"{sys.argv[2]}: no report")
for o in report["outputs"]:
    print(f"{sys.argv[2]:5} {o['name']}: of max {o['max_scaled']:.2e}, least cosine {o['min_cosine']:.6f}, top-1 {o['top1_agreement']}, "
          f"{'passed' if report['passed'] else report['failures']}")
PY
  done
  # Bytes in must give what floats in give.
  build fp16 "$work/bytes.vtl" --input uint8 &&
    "$vitrail" verify "$work/bytes.vtl" --reference "$(model)" --images .dev/data --samples 8 --max-scaled-error 5e-2 --min-cosine 0.99 \
      --json >"$out/verify_fp16_uint8.json" || status=1
  return $status
}

# Device memory of each precision and batch size, by the engine's own account and by nvidia-smi while it runs; then twenty
# loads one after the other, which must not leave anything behind.
section_memory() {
  local precision batch before after status=0
  used() { nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -1; }
  echo "precision,batch,device_bytes,smi_mib_above_idle" >"$out/memory.csv"
  for precision in ${precisions//,/ }; do
    build "$precision" "$work/$precision.vtl" || { status=1; continue; }
    for batch in ${batches//,/ }; do
      before=$(used)
      "$vitrail" bench "$work/$precision.vtl" --batch "$batch" --iterations 1000000 --max-seconds 4 --json >"$work/bench.json" 2>"$work/bench.log" &
      local pid=$! most=0 now
      while kill -0 "$pid" 2>/dev/null; do
        now=$(($(used) - before))
        [ "$now" -gt "$most" ] && most=$now
        sleep 0.2
      done
      wait "$pid" || { tail -1 "$work/bench.log"; status=1; continue; }
      "$python" -c "import json; print('$precision,$batch,%s,$most' % json.load(open('$work/bench.json'))['results'][0].get('device_bytes'))" |
        tee -a "$out/memory.csv"
    done
  done
  before=$(used)
  for _ in $(seq 20); do "$vitrail" bench "$work/${precisions%%,*}.vtl" --batch 1 --iterations 3 --warm-up 1 --json >/dev/null 2>&1 || status=1; done
  after=$(used)
  echo "device memory before and after 20 loads: $before and $after MiB"
  return $status
}

declare -A limits=([tests]=${TESTS_S:-180} [sanitize]=${SANITIZE_S:-300} [peers]=${PEERS_S:-420} [accuracy]=${ACCURACY_S:-300} [memory]=${MEMORY_S:-240})
if [ "${1:-}" = --section ]; then # this script again, under its timeout
  "section_$2"
  exit
fi
sections=("$@")
[ $# -gt 0 ] || sections=(tests sanitize peers accuracy memory)
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,temperature.gpu --format=csv >"$out/gpu.csv" 2>&1
failed=0
summary=
for section in "${sections[@]}"; do
  [ -n "${limits[$section]:-}" ] || { echo "unknown section '$section'; known: tests sanitize peers accuracy memory" >&2; exit 2; }
  echo "=== $section (at most ${limits[$section]} s)"
  start=$SECONDS
  OUT=$out timeout --kill-after=10 "${limits[$section]}" scripts/gpu_session.sh --section "$section" 2>&1 | tee "$out/$section.log"
  rc=${PIPESTATUS[0]}
  case $rc in 0) verdict=passed ;; 77) verdict="left out" ;; 124 | 137) verdict="ran out of time" failed=1 ;; *) verdict="failed ($rc)" failed=1 ;; esac
  summary+=$(printf '%-10s %-16s %5d s' "$section" "$verdict" $((SECONDS - start)))$'\n'
done
printf '%s' "$summary" | tee "$out/summary.txt"
exit $failed
