// SPDX-License-Identifier: Apache-2.0
// Everything that the kernels include comes before the target region: an inline function of a standard header
// that were compiled inside of it would need these instructions in every program that links it.
#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own header's deliberately undefined registers (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "backends/cpu/kernels/table.h"

#if defined(__clang__)
#pragma clang attribute push(                                                                             \
    __attribute__((                                                                                       \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8,avx2,fma,bmi2"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8,avx2,fma,bmi2")
#endif
namespace vitrail::cpu::avx512amx {
namespace {
// clang-format off: in the order of use.
#include "backends/cpu/kernels/simd_avx512.inl.h"
#include "backends/cpu/kernels/simd_int_avx512.inl.h"
#include "backends/cpu/kernels/quantize.inl.h"
#include "backends/cpu/kernels/math_f32.inl.h"
#include "backends/cpu/kernels/dot_avx512vnni.inl.h"
#include "backends/cpu/kernels/pack_bytes.inl.h"
#include "backends/cpu/kernels/gelu_bytes_avx512.inl.h"
#include "backends/cpu/kernels/finish_sums.inl.h"
#include "backends/cpu/kernels/gemm_amx.inl.h"
#include "backends/cpu/kernels/attention_u8s8.inl.h"
#include "backends/cpu/kernels/table_int.inl.h"
// clang-format on
}  // namespace
constinit const IntegerKernels kIntegers = make_integer_kernels();
}  // namespace vitrail::cpu::avx512amx
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
