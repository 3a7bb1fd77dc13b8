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

// 1/σ of one row from the statistics of its groups, merged one by one (Chan et al. 1979). Called by one thread a row.
// Four loads are in flight at a time; more would cost instructions, which cost more.
__device__ __forceinline__ float merge_rstd(const float* stats, int columns, float epsilon) {
  const auto* pairs = reinterpret_cast<const float2*>(stats);
  const int groups = (columns + kStatsColumns - 1) / kStatsColumns;
  float mean = 0, m2 = 0, count = 0;
  for (int first = 0; first < groups; first += 4) {
    float2 pair[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) pair[i] = __ldcg(pairs + min(first + i, groups - 1));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float width = static_cast<float>(max(0, min(kStatsColumns, columns - (first + i) * kStatsColumns)));
      const float delta = pair[i].x - mean, share = __fdividef(width, count + width);
      m2 += (width > 0 ? pair[i].y : 0) + delta * delta * count * share;
      mean = fmaf(delta, share, mean);
      count += width;
    }
  }
  return rsqrtf(m2 / static_cast<float>(columns) + epsilon);
}

}  // namespace vitrail::cuda
