// SPDX-License-Identifier: Apache-2.0
// Reading and writing runs of elements as float32: 1 element, or 8 by accesses of up to 16 bytes.
#pragma once

#include "backends/cuda/device/math.cuh"

namespace vitrail::cuda {

constexpr int kRun = 8;

template <class T, int kCount>
__device__ __forceinline__ void load(const T* p, float (&v)[kCount]) {
  static_assert(kCount == 1 || kCount == kRun);
  if constexpr (kCount == 1) {
    v[0] = to_float(*p);
  } else if constexpr (sizeof(T) == 4) {
    const float4 a = reinterpret_cast<const float4*>(p)[0], b = reinterpret_cast<const float4*>(p)[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  } else {
    const uint4 words = *reinterpret_cast<const uint4*>(p);
    const float2 a = Pair<T>::unpack(words.x), b = Pair<T>::unpack(words.y), c = Pair<T>::unpack(words.z),
                 d = Pair<T>::unpack(words.w);
    v[0] = a.x, v[1] = a.y, v[2] = b.x, v[3] = b.y, v[4] = c.x, v[5] = c.y, v[6] = d.x, v[7] = d.y;
  }
}

template <class T, int kCount>
__device__ __forceinline__ void store(T* p, const float (&v)[kCount]) {
  static_assert(kCount == 1 || kCount == kRun);
  if constexpr (kCount == 1) {
    *p = from_float<T>(v[0]);
  } else if constexpr (sizeof(T) == 4) {
    reinterpret_cast<float4*>(p)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(p)[1] = make_float4(v[4], v[5], v[6], v[7]);
  } else {
    *reinterpret_cast<uint4*>(p) = make_uint4(Pair<T>::pack(v[0], v[1]), Pair<T>::pack(v[2], v[3]),
                                              Pair<T>::pack(v[4], v[5]), Pair<T>::pack(v[6], v[7]));
  }
}

__device__ __forceinline__ float float_of_byte(uint32_t byte, Type type) {
  if (type == Type::kE4M3)
    return __half2float(__half(__nv_cvt_fp8_to_halfraw(static_cast<uint8_t>(byte), __NV_E4M3)));
  return static_cast<float>(type == Type::kS8 ? static_cast<int>(static_cast<int8_t>(byte))
                                              : static_cast<int>(byte));
}

// Elements at, at + 1, … of a buffer of any type; 8-bit ones as the number that they hold.
template <int kCount>
__device__ __forceinline__ void load_any(const void* base, int64_t at, Type type, float (&v)[kCount]) {
  if (type == Type::kF32) return load(static_cast<const float*>(base) + at, v);
  if (type == Type::kF16) return load(static_cast<const __half*>(base) + at, v);
  if (type == Type::kBF16) return load(static_cast<const __nv_bfloat16*>(base) + at, v);
  const uint8_t* p = static_cast<const uint8_t*>(base) + at;
  if constexpr (kCount == 1) {
    v[0] = float_of_byte(*p, type);
  } else {
    const uint2 words = *reinterpret_cast<const uint2*>(p);
#pragma unroll
    for (int i = 0; i < kRun; ++i)
      v[i] = float_of_byte((i < 4 ? words.x : words.y) >> (i % 4 * 8) & 255, type);
  }
}

// To 8-bit types: v·scale + zero, rounded to nearest even and saturated. The others ignore scale and zero.
template <int kCount>
__device__ __forceinline__ void store_any(void* base, int64_t at, Type type, const float (&v)[kCount],
                                          float scale, float zero) {
  if (type == Type::kF32) return store(static_cast<float*>(base) + at, v);
  if (type == Type::kF16) return store(static_cast<__half*>(base) + at, v);
  if (type == Type::kBF16) return store(static_cast<__nv_bfloat16*>(base) + at, v);
  uint8_t* p = static_cast<uint8_t*>(base) + at;
  if constexpr (kCount == 1) {
    *p = static_cast<uint8_t>(pack8(fmaf(v[0], scale, zero), 0, type));
  } else {
    uint32_t halves[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      halves[i] = pack8(fmaf(v[2 * i], scale, zero), fmaf(v[2 * i + 1], scale, zero), type);
    *reinterpret_cast<uint2*>(p) = make_uint2(halves[0] | halves[1] << 16, halves[2] | halves[3] << 16);
  }
}

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
  for (int o = 16; o > 0; o /= 2) v += __shfl_xor_sync(~0u, v, o);
  return v;
}
__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
  for (int o = 16; o > 0; o /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, o));
  return v;
}

}  // namespace vitrail::cuda
