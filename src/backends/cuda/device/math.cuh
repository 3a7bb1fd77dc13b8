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

// The same with the type known. To integers one instruction (F2IP) rounds, saturates and packs both.
template <bool kFloat>
__device__ __forceinline__ uint16_t round_to_bytes(float a, float b) {
  if constexpr (kFloat) return __nv_cvt_float2_to_fp8x2(make_float2(a, b), __NV_SATFINITE, __NV_E4M3);
  uint32_t packed;
  asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, 0;" : "=r"(packed) : "r"(__float2int_rn(b)), "r"(__float2int_rn(a)));
  return static_cast<uint16_t>(packed);
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

// 1/σ of a row from the statistics of its groups, kAtOnce of which are in flight and merged at a time (Chan et al. 1979).
// Called by one thread a row.
template <int kAtOnce>
__device__ __forceinline__ float merge_rstd(const GemmArgs& g, int64_t row) {
  const auto* pairs = reinterpret_cast<const float2*>(g.stats) + row;
  const int groups = (g.stats_columns + g.stats_width - 1) / g.stats_width;
  float mean = 0, m2 = 0, count = 0;
#pragma unroll 1
  for (int first = 0; first < groups; first += kAtOnce) {
    float means[kAtOnce], sum = 0, within = 0;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const float2 pair = first + i < groups ? __ldcg(pairs + (first + i) * g.m) : make_float2(0, 0);
      means[i] = pair.x;
      within += pair.y;
    }
    const auto width = [&](int i) {
      return static_cast<float>(max(0, min(g.stats_width, g.stats_columns - (first + i) * g.stats_width)));
    };
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) sum = fmaf(width(i), means[i], sum);
    const float here = static_cast<float>(min(kAtOnce * g.stats_width, g.stats_columns - first * g.stats_width));
    const float middle = sum / here;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) within = fmaf(width(i) * (means[i] - middle), means[i] - middle, within);
    const float delta = middle - mean, share = here / (count + here);
    m2 += fmaf(delta * delta * count, share, within);
    mean = fmaf(delta, share, mean);
    count += here;
  }
  return rsqrtf(m2 / static_cast<float>(g.stats_columns) + g.epsilon);
}

}  // namespace vitrail::cuda
