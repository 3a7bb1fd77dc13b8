// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "backends/cpu/kernels/table.h"
#include "core/target.h"

VTL_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")
namespace vitrail::cpu::avx512 {
namespace {
// clang-format off: in the order of use.
#include "backends/cpu/kernels/simd_avx512.inl.h"
#include "backends/cpu/kernels/simd_int_avx512.inl.h"
#include "backends/cpu/kernels/quantize.inl.h"
#include "backends/cpu/kernels/math_f32.inl.h"
#include "backends/cpu/kernels/gemm_f32.inl.h"
#include "backends/cpu/kernels/attention_f32.inl.h"
#include "backends/cpu/kernels/rows_f32.inl.h"
#include "backends/cpu/kernels/conv_f32.inl.h"
#include "backends/cpu/kernels/dot_avx512.inl.h"
#include "backends/cpu/kernels/dot_widened.inl.h"
#include "backends/cpu/kernels/pack_bytes.inl.h"
#include "backends/cpu/kernels/gelu_bytes_avx512.inl.h"
#include "backends/cpu/kernels/finish_sums.inl.h"
#include "backends/cpu/kernels/gemm_u8s8.inl.h"
#include "backends/cpu/kernels/attention_u8s8.inl.h"
#include "backends/cpu/kernels/table_int.inl.h"
#include "backends/cpu/kernels/table.inl.h"
// clang-format on
}  // namespace
constinit const Kernels kKernels = make_kernels(Isa::kAvx512);
}  // namespace vitrail::cpu::avx512
VTL_END_TARGET
#endif
