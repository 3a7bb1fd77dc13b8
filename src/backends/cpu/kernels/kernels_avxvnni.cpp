// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "backends/cpu/kernels/table.h"
#include "core/target.h"

VTL_BEGIN_TARGET("avx2,fma,avxvnni")
namespace vitrail::cpu::avxvnni {
namespace {
// clang-format off: in the order of use.
#include "backends/cpu/kernels/simd_avx2.inl.h"
#include "backends/cpu/kernels/simd_int_avx2.inl.h"
#include "backends/cpu/kernels/quantize.inl.h"
#include "backends/cpu/kernels/math_f32.inl.h"
#include "backends/cpu/kernels/dot_avxvnni.inl.h"
#include "backends/cpu/kernels/pack_bytes.inl.h"
#include "backends/cpu/kernels/gelu_bytes.inl.h"
#include "backends/cpu/kernels/finish_sums.inl.h"
#include "backends/cpu/kernels/gemm_u8s8.inl.h"
#include "backends/cpu/kernels/attention_u8s8.inl.h"
#include "backends/cpu/kernels/table_int.inl.h"
// clang-format on
}  // namespace
constinit const IntegerKernels kIntegers = make_integer_kernels();
}  // namespace vitrail::cpu::avxvnni
VTL_END_TARGET
#endif
