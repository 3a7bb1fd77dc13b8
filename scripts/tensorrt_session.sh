#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What of the tensorrt backend needs a GPU: refitted and stripped plans, TensorRT's own calibration, its refusals, the report of several
# precisions. On a machine with a GPU and TensorRT 8.5 or newer, where vitrail lies beside its libvitrail_tensorrt.so:
#
#   VITRAIL=build/bin/vitrail VITRAIL_TENSORRT_LIB=FOLDER scripts/tensorrt_session.sh MODEL.onnx OTHER.onnx PICTURES [SECTION…]
#
# OTHER has the architecture of MODEL and other weights (scripts/tensorrt_session.sh --other MODEL.onnx OTHER.onnx makes one; Python with
# onnx). PYTORCH=timm:NAME adds its row to the report (VTL_PYTHON). Sections: refit strip int8 refusals report (default: all of these), and families: each ONNX file of
# the folder FAMILIES in PRECISION (fp16) against the reference, on random inputs. Writes into $OUT, ends with a line for each, and with 1 when one failed.
set -uo pipefail
if [ "${1:-}" = --other ]; then
  exec "${VTL_PYTHON:-python3}" - "$2" "$3" <<'PY'
import sys, numpy, onnx
from onnx import numpy_helper
model, random = onnx.load(sys.argv[1]), numpy.random.default_rng(1)
for t in model.graph.initializer:
    v = numpy_helper.to_array(t)
    if v.dtype == numpy.float32 and v.size > 1:
        t.CopyFrom(numpy_helper.from_array(v + random.standard_normal(v.shape).astype(numpy.float32) * (0.1 * v.std() + 1e-3), t.name))
onnx.save(model, sys.argv[2])
PY
fi
model=${1:?MODEL.onnx} other=${2:?OTHER.onnx} pictures=${3:?folder of pictures}
shift 3
vitrail=${VITRAIL:-build/bin/vitrail}
out=${OUT:-tensorrt_session}
mkdir -p "$out"
profile=(--profile "${PROFILE:-1:8:16}")
loose=(--max-scaled-error 5e-2 --min-cosine 0.99 --samples "${SAMPLES:-8}")

# A bare plan would go without plugins, and 8.5 then compiles kernels for minutes.
plugins=(--plugins "${PLUGINS:-on}")
build() { "$vitrail" build "$model" --backend tensorrt "${profile[@]}" "${plugins[@]}" "$@"; }
size() { stat -c %s "$1"; }
# refused STATUS TEXT COMMAND…: the command ends so ("any": in any way but well) and says so.
refused() {
  local status=$1 text=$2 said
  shift 2
  said=$("$@" 2>&1)
  local got=$?
  { [ "$got" = "$status" ] || { [ "$status" = any ] && [ "$got" -gt 0 ] && [ "$got" -lt 126 ]; }; } && grep -qF -- "$text" <<<"$said" && { echo "as it should: $(grep -F -- "$text" <<<"$said" | head -1)"; return 0; }
  printf 'expected exit %s and "%s", got %s:\n%s\n' "$status" "$text" "$got" "$said"
  return 1
}

section_refit() {
  build --precision fp16 --refit --save-engine "$out/refit.plan" -o "$out/refit.vtl" &&
    "$vitrail" verify "$out/refit.vtl" --reference "$model" --images "$pictures" "${loose[@]}" >"$out/refit_before.txt" &&
    time "$vitrail" refit "$out/refit.vtl" --weights "$other" -o "$out/refitted.vtl" &&
    "$vitrail" verify "$out/refitted.vtl" --reference "$other" --images "$pictures" "${loose[@]}" --certify | tee "$out/refit_after.txt" &&
    refused 1 "out of tolerance" "$vitrail" verify "$out/refitted.vtl" --reference "$model" --images "$pictures" "${loose[@]}" &&
    echo "the plan: $(size "$out/refit.plan") bytes; engines before and after: $(size "$out/refit.vtl") $(size "$out/refitted.vtl")"
}

section_strip() {
  local said
  said=$(build --precision fp16 --strip-weights --save-engine "$out/stripped.plan" -o "$out/stripped.vtl" 2>&1) ||
    { grep -q "needs TensorRT 10.0" <<<"$said" && { echo "this TensorRT cannot: $said" | tail -1; return 77; }; echo "$said"; return 1; }
  build --precision fp16 --save-engine "$out/full.plan" -o "$out/full.vtl" >/dev/null &&
    echo "plans: $(size "$out/full.plan") bytes full, $(size "$out/stripped.plan") stripped" &&
    [ "$(size "$out/stripped.plan")" -lt $(($(size "$out/full.plan") / 2)) ] &&
    "$vitrail" verify "$out/stripped.vtl" --reference "$model" --images "$pictures" "${loose[@]}" >/dev/null &&
    "$vitrail" refit "$out/stripped.vtl" --weights "$other" -o "$out/stripped_new.vtl" &&
    "$vitrail" verify "$out/stripped_new.vtl" --reference "$other" --images "$pictures" "${loose[@]}"
}

section_int8() {
  local cache=$out/calibration.cache
  rm -f "$cache"
  build --precision int8 --calibrate "$pictures" --calibration-cache "$cache" --json -o "$out/int8.vtl" >"$out/int8.json" || return 1
  head -3 "$cache"
  grep -o '"precision": "[a-z0-9_]*"' "$out/int8.json" | sort | uniq -c
  "$vitrail" verify "$out/int8.vtl" --reference "$model" --images "$pictures" --max-scaled-error 0.5 --min-cosine 0.9 --samples "${SAMPLES:-8}" || return 1
  build --precision int8 --calibration-cache "$cache" -o "$out/int8_again.vtl" >/dev/null || return 1
  refused 3 "ranges were calibrated with the weights" "$vitrail" refit "$out/int8.vtl" --weights "$other" -o "$out/x.vtl" || return 1
  echo damaged >"$cache"
  refused 3 "line 1 is not TRT-VERSION" build --precision int8 --calibration-cache "$cache" -o "$out/x.vtl"
}

section_refusals() {
  local status=0
  build --precision fp16 -o "$out/plain.vtl" --save-engine "$out/plain.plan" >/dev/null || return 1
  refused 2 "4096 is not between" "$vitrail" bench "$out/plain.vtl" --batch 4096 --iterations 1 || status=1
  refused 2 "give at least --workspace" build --precision fp16 --workspace 4KiB -o "$out/x.vtl" || status=1
  head -c 5000 "$out/plain.plan" >"$out/cut.plan"
  "$vitrail" build "$model" --backend tensorrt "${profile[@]}" --precision fp16 --load-engine "$out/cut.plan" -o "$out/cut.vtl" >/dev/null 2>&1
  refused any "plan" "$vitrail" bench "$out/cut.vtl" --batch 1 --iterations 1 || status=1
  printf 'no timing cache at all, and longer than a header would be%.0s' {1..8} >"$out/bad.cache"
  refused 3 "delete it" build --precision fp16 --timing-cache "$out/bad.cache" -o "$out/x.vtl" || status=1
  return $status
}

section_families() {
  local status=0 file name said start rc
  for file in "${FAMILIES:?folder of ONNX files}"/*.onnx; do
    name=$(basename "$file" .onnx) start=$SECONDS rc=0
    said=$(timeout "${FAMILY_S:-120}" "$vitrail" build "$file" --backend tensorrt --precision "${PRECISION:-fp16}" --profile 1:4:4 \
      --timing-cache "$out/families.cache" -o "$out/family.vtl" 2>&1 &&
      "$vitrail" verify "$out/family.vtl" --reference "$file" --random "${SAMPLES:-8}" "${loose[@]}" 2>&1) || rc=$? status=1
    printf '%-30s %3d s, exit %d: %s\n' "$name" $((SECONDS - start)) "$rc" "$(tail -1 <<<"$said")"
    echo "$said" >"$out/family_$name.log"
  done
  return $status
}

section_report() {
  "$vitrail" optimize "$model" --backend tensorrt --precision fp32,fp16,int8 --calibrate "$pictures" --images "$pictures" \
    --samples "${SAMPLES:-8}" --profile "${REPORT_PROFILE:-1:16:64}" --workspace 4GiB --batch 1,8,16,32,64 --max-seconds "${BENCH_S:-60}" \
    ${PYTORCH:+--pytorch "$PYTORCH"} ${PEERS:+--peers "$PEERS"} -o "$out/report"
}

sections=("$@")
[ $# -gt 0 ] || sections=(refit strip int8 refusals report)
failed=0 summary=
for section in "${sections[@]}"; do
  echo "=== $section"
  start=$SECONDS
  "section_$section" 2>&1 | tee "$out/$section.log"
  rc=${PIPESTATUS[0]}
  case $rc in 0) verdict=passed ;; 77) verdict="left out" ;; *) verdict="failed ($rc)" failed=1 ;; esac
  summary+=$(printf '%-10s %-12s %5d s' "$section" "$verdict" $((SECONDS - start)))$'\n'
done
printf '%s' "$summary" | tee "$out/summary.txt"
exit $failed
