// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "backends/cuda/kernels/types.h"

namespace vitrail::cuda {

// Conversions of pairs: what the tensor cores read and write.
template <class T>
struct Pair;
template <>
struct Pair<__half> {
  static __device__ __forceinline__ uint32_t pack(float a, float b) {
    const __half2 h = __floats2half2_rn(a, b);
    return *reinterpret_cast<const uint32_t*>(&h);
  }
  static __device__ __forceinline__ float2 unpack(uint32_t u) { return __half22float2(*reinterpret_cast<__half2*>(&u)); }
};
template <>
struct Pair<__nv_bfloat16> {
  static __device__ __forceinline__ uint32_t pack(float a, float b) {
    const __nv_bfloat162 h = __floats2bfloat162_rn(a, b);
    return *reinterpret_cast<const uint32_t*>(&h);
  }
  static __device__ __forceinline__ float2 unpack(uint32_t u) {
    return __bfloat1622float2(*reinterpret_cast<__nv_bfloat162*>(&u));
  }
};

__device__ __forceinline__ float to_float(float v) { return v; }
__device__ __forceinline__ float to_float(__half v) { return __half2float(v); }
__device__ __forceinline__ float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }
template <class T>
__device__ __forceinline__ T from_float(float v);
template <>
__device__ __forceinline__ float from_float<float>(float v) {
  return v;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

// Two values to 8 bits each, rounded to nearest even and saturated; the first in the low byte.
__device__ __forceinline__ uint16_t pack8(float a, float b, Type type) {
  if (type == Type::kE4M3) return __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, __NV_E4M3);
  const int low = type == Type::kS8 ? -128 : 0, high = type == Type::kS8 ? 127 : 255;
  const int x = min(max(__float2int_rn(a), low), high), y = min(max(__float2int_rn(b), low), high);
  return static_cast<uint16_t>((x & 255) | (y & 255) << 8);
}

__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// x·Φ(x) with Φ(x) = 1/(1 + 2^q(x)), q the odd polynomial of least error: within 3.1e-6 of the exact erf form
// everywhere, less than a fiftieth of a unit in the last place of half precision at 1.
__device__ __forceinline__ float gelu(float x) {
  const float u = x * x;
  float q = fmaf(-3.22898784e-06f, u, 8.82381184e-05f);
  q = fmaf(q, u, 3.60274596e-04f);
  q = fmaf(q, u, -1.05226688e-01f);
  q = fmaf(q, u, -2.30204539f);
  float inverse;  // of 1 … ∞, where the approximation is good to a unit in the last place
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(1 + exp2_fast(q * x)));
  return x * inverse;
}
__device__ __forceinline__ float gelu_exact(float x) { return 0.5f * x * (1 + erff(x * 0.70710678118654752f)); }
__device__ __forceinline__ float gelu_tanh(float x) {
  return 0.5f * x * (1 + tanhf(0.79788456080286536f * x * fmaf(0.044715f, x * x, 1.0f)));
}

template <bool kExact = false>
__device__ __forceinline__ float activate(float x, Activation a) {
  switch (a) {
    case Activation::kGelu:
      return kExact ? gelu_exact(x) : gelu(x);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kRelu:
      return fmaxf(x, 0);
    case Activation::kSigmoid:
      return 1 / (1 + __expf(-x));
    case Activation::kTanh:
      return tanhf(x);
    default:
      return x;
  }
}

// 1/σ of one row from the statistics of its groups. Called by one thread a row: the loads of a row are independent and
// all in flight together.
__device__ __forceinline__ float merge_rstd(const float* stats, int columns, float epsilon) {
  constexpr int kHeld = 16;  // groups kept in registers: rows of up to 1024; the rest is read twice
  const int groups = (columns + kStatsColumns - 1) / kStatsColumns;
  const float last = static_cast<float>(columns - (groups - 1) * kStatsColumns) / kStatsColumns;  // share of a group
  const auto* pairs = reinterpret_cast<const float2*>(stats);
  float2 held[kHeld];
#pragma unroll
  for (int g = 0; g < kHeld; ++g) held[g] = g < groups ? __ldcg(pairs + g) : float2{0, 0};
  float sum = 0;
#pragma unroll
  for (int g = 0; g < kHeld; ++g) sum += g == groups - 1 ? held[g].x * last : held[g].x;
#pragma unroll 1
  for (int g = kHeld; g < groups; ++g) sum += __ldcg(pairs + g).x * (g == groups - 1 ? last : 1.0f);
  const float mean = sum * kStatsColumns / static_cast<float>(columns);
  float m2 = 0, spread = 0;
#pragma unroll
  for (int g = 0; g < kHeld; ++g) {
    const float delta = g < groups ? held[g].x - mean : 0;
    m2 += held[g].y;
    spread = fmaf(delta * (g == groups - 1 ? last : 1.0f), delta, spread);
  }
#pragma unroll 1
  for (int g = kHeld; g < groups; ++g) {
    const float2 pair = __ldcg(pairs + g);
    m2 += pair.y;
    spread += (pair.x - mean) * (pair.x - mean) * (g == groups - 1 ? last : 1.0f);
  }
  m2 = fmaf(spread, kStatsColumns, m2);
  return rsqrtf(m2 / static_cast<float>(columns) + epsilon);
}

}  // namespace vitrail::cuda
