// SPDX-License-Identifier: Apache-2.0
// The kernels of elementwise.h that find their elements by strides: binary, copy, gather.
#include <algorithm>
#include <utility>

#include "backends/cuda/device/ptx.cuh"
#include "backends/cuda/device/vector.cuh"
#include "backends/cuda/kernels/elementwise.h"
#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/launch.h"

namespace vitrail::cuda {
namespace {

constexpr int kThreads = 256;

// Division of numbers below 2^31 by a constant as a multiplication (Granlund & Montgomery 1994).
struct Divider {
  uint32_t divisor = 1, magic = 1, shift = 0;

  Divider() = default;
  explicit Divider(uint32_t d) : divisor(d) {
    while ((uint64_t{1} << shift) < d) ++shift;
    magic = static_cast<uint32_t>((uint64_t{1} << 32) * ((uint64_t{1} << shift) - d) / d + 1);
  }
  __device__ __forceinline__ uint32_t divide(uint32_t n) const { return (__umulhi(n, magic) + n) >> shift; }
};

// Two views of the same extents, walked in row-major order. Offsets are 64 bits wide always, indices only
// where needed.
struct Walk {
  int64_t count = 1;
  int rank = 0;
  int64_t extents[kMaxRank] = {}, strides[2][kMaxRank] = {};
  Divider dividers[kMaxRank];

  // Index counts units of which the innermost extent has been made.
  template <class Index>
  __device__ __forceinline__ void locate(Index index, int64_t& first, int64_t& second) const {
    first = second = 0;
    for (int i = rank - 1; i > 0; --i) {
      Index quotient;
      if constexpr (sizeof(Index) == 4)
        quotient = dividers[i].divide(index);
      else
        quotient = index / extents[i];
      const int64_t digit = index - quotient * static_cast<Index>(extents[i]);
      first += digit * strides[0][i];
      second += digit * strides[1][i];
      index = quotient;
    }
    first += static_cast<int64_t>(index) * strides[0][0];
    second += static_cast<int64_t>(index) * strides[1][0];
  }
};

struct Axis {
  int64_t extent, first, second;
};

// Without axes of extent 1, and neighbours that both views step through as one made one. Rank 1 at least.
Walk make_walk(const int64_t* extents, const int64_t* first, const int64_t* second, int rank,
               bool any_order) {
  Axis axes[kMaxRank];
  Walk w;
  int used = 0;
  for (int i = 0; i < rank; ++i) {
    w.count *= extents[i];
    if (extents[i] != 1) axes[used++] = {extents[i], first[i], second[i]};
  }
  // A copy may visit its elements in any order: that of the writes keeps them coalesced.
  if (any_order)
    std::stable_sort(axes, axes + used, [](const Axis& a, const Axis& b) { return a.second > b.second; });
  for (int i = 0; i < used; ++i) {
    const int last = w.rank - 1;
    if (w.rank > 0 && w.strides[0][last] == axes[i].first * axes[i].extent &&
        w.strides[1][last] == axes[i].second * axes[i].extent) {
      w.extents[last] *= axes[i].extent;
    } else {
      w.extents[w.rank++] = axes[i].extent;
    }
    w.strides[0][w.rank - 1] = axes[i].first;
    w.strides[1][w.rank - 1] = axes[i].second;
  }
  if (w.rank == 0) w.rank = 1, w.extents[0] = 1, w.strides[0][0] = w.strides[1][0] = 1;
  return w;
}

void make_dividers(Walk& w) {
  for (int i = 0; i < w.rank; ++i)
    if (w.extents[i] < INT32_MAX) w.dividers[i] = Divider(static_cast<uint32_t>(w.extents[i]));
}

template <int kCount>
__device__ __forceinline__ void load_operand(const void* base, int64_t at, Type type, bool repeated,
                                             float (&v)[kCount]) {
  if (kCount > 1 && repeated) {
    float one[1];
    load_any(base, at, type, one);
#pragma unroll
    for (int j = 0; j < kCount; ++j) v[j] = one[0];
  } else {
    load_any(base, at, type, v);
  }
}

// Runs lie along the innermost axis, on which an operand is dense or repeated.
template <int kCount, class Index>
__global__ void __launch_bounds__(kThreads)
    binary(Binary op, const void* a, const void* b, void* y, Type type, const __grid_constant__ Walk w) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i * kCount < w.count;
       i += int64_t{gridDim.x} * kThreads) {
    int64_t at_a, at_b;
    w.locate(static_cast<Index>(i * kCount), at_a, at_b);
    float u[kCount], v[kCount];
    load_operand(a, at_a, type, w.strides[0][w.rank - 1] == 0, u);
    load_operand(b, at_b, type, w.strides[1][w.rank - 1] == 0, v);
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      if (op == Binary::kAdd) u[j] += v[j];
      if (op == Binary::kSub) u[j] -= v[j];
      if (op == Binary::kMul) u[j] *= v[j];
    }
    if (op == Binary::kDiv) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) u[j] /= v[j];
    }
    store_any(y, i * kCount, type, u, 1, 0);
  }
}

template <class Word, class Index>
__global__ void __launch_bounds__(kThreads) copy(const Word* x, Word* y, const __grid_constant__ Walk w) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < w.count;
       i += int64_t{gridDim.x} * kThreads) {
    int64_t from, to;
    w.locate(static_cast<Index>(i), from, to);
    y[to] = x[from];
  }
}

// An index outside the axis is clamped: a kernel can refuse nothing, but must not read elsewhere.
template <class Word>
__global__ void __launch_bounds__(kThreads) gather(const Word* x, const int64_t* index, Word* y, int64_t rows,
                                                   int64_t axis_extent, int64_t count, int64_t inner) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  // A warp a row: one look at the index for all of it, and no division an element.
  for (int64_t row = int64_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32; row < rows;
       row += int64_t{gridDim.x} * (kThreads / 32)) {
    int64_t at = index[row % count];
    if (at < 0) at += axis_extent;
    at = max(int64_t{0}, min(at, axis_extent - 1));
    const Word* from = x + (row / count * axis_extent + at) * inner;
    for (int64_t i = threadIdx.x % 32; i < inner; i += 32) y[row * inner + i] = from[i];
  }
}

// Calls f with a null pointer to a word of that many bytes.
template <class F>
cudaError_t with_word(int bytes, F f) {
  switch (bytes) {
    case 1:
      return f(static_cast<uint8_t*>(nullptr));
    case 2:
      return f(static_cast<uint16_t*>(nullptr));
    case 4:
      return f(static_cast<uint32_t*>(nullptr));
    case 8:
      return f(static_cast<uint2*>(nullptr));
    case 16:
      return f(static_cast<uint4*>(nullptr));
    default:
      return cudaErrorInvalidValue;
  }
}

bool multiple(const void* p, int64_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

// Makes units of two elements one while both views allow it; returns the bytes of a unit.
int widen(Walk& w, const void* x, const void* y, int bytes) {
  const int last = w.rank - 1;
  while (bytes < 16 && w.strides[0][last] == 1 && w.strides[1][last] == 1 && w.extents[last] % 2 == 0 &&
         multiple(x, 2 * bytes) && multiple(y, 2 * bytes)) {
    bool even = true;
    for (int i = 0; i < last; ++i) even = even && w.strides[0][i] % 2 == 0 && w.strides[1][i] % 2 == 0;
    if (!even) break;
    for (int i = 0; i < last; ++i) w.strides[0][i] /= 2, w.strides[1][i] /= 2;
    w.extents[last] /= 2;
    w.count /= 2;
    bytes *= 2;
  }
  return bytes;
}

bool valid_rank(int rank, const int64_t* extents, bool* empty) {
  if (rank < 0 || rank > kMaxRank) return false;
  for (int i = 0; i < rank; ++i) *empty = *empty || extents[i] <= 0;
  return true;
}

}  // namespace

cudaError_t launch_binary(const BinaryArgs& a, cudaStream_t stream, bool dependent) {
  bool empty = false;
  if (!valid_rank(a.rank, a.extents, &empty) || !is_float(a.type)) return cudaErrorInvalidValue;
  if (empty) return cudaSuccess;
  Walk w = make_walk(a.extents, a.a_strides, a.b_strides, a.rank, false);
  make_dividers(w);
  bool vector = w.extents[w.rank - 1] % kRun == 0 && aligned16(a.y);
  for (int operand = 0; operand < 2; ++operand) {
    const int64_t* strides = w.strides[operand];
    if (strides[w.rank - 1] == 0) continue;  // read one by one
    vector = vector && strides[w.rank - 1] == 1 && aligned16(operand ? a.b : a.a);
    for (int i = 0; i + 1 < w.rank; ++i) vector = vector && strides[i] % kRun == 0;
  }
  const bool narrow = w.count < INT32_MAX;
  auto* kernel = vector ? (narrow ? binary<kRun, uint32_t> : binary<kRun, int64_t>)
                        : (narrow ? binary<1, uint32_t> : binary<1, int64_t>);
  return launch(
      kernel, {dim3(blocks_of(w.count, kThreads * (vector ? kRun : 1))), dim3(kThreads), 0, 1, dependent},
      stream, a.op, a.a, a.b, a.y, a.type, w);
}

cudaError_t launch_copy(const CopyArgs& a, cudaStream_t stream, bool dependent) {
  bool empty = false;
  if (!valid_rank(a.rank, a.extents, &empty) || a.element_bytes < 1 || a.element_bytes > 8)
    return cudaErrorInvalidValue;
  if (empty) return cudaSuccess;
  Walk w = make_walk(a.extents, a.x_strides, a.y_strides, a.rank, true);
  const int bytes = widen(w, a.x, a.y, a.element_bytes);
  make_dividers(w);
  return with_word(bytes, [&]<class Word>(Word*) {
    return launch(w.count < INT32_MAX ? copy<Word, uint32_t> : copy<Word, int64_t>,
                  {dim3(blocks_of(w.count, kThreads)), dim3(kThreads), 0, 1, dependent}, stream,
                  static_cast<const Word*>(a.x), static_cast<Word*>(a.y), w);
  });
}

cudaError_t launch_gather(const void* x, const int64_t* index, void* y, int64_t outer, int64_t axis_extent,
                          int64_t count, int64_t inner_bytes, cudaStream_t stream, bool dependent) {
  if (outer <= 0 || count <= 0 || inner_bytes <= 0) return cudaSuccess;
  if (axis_extent <= 0) return cudaErrorInvalidValue;
  int bytes = 16;
  while (inner_bytes % bytes != 0 || !multiple(x, bytes) || !multiple(y, bytes)) bytes /= 2;
  return with_word(bytes, [&]<class Word>(Word*) {
    return launch(gather<Word>,
                  {dim3(blocks_of(outer * count, kThreads / 32)), dim3(kThreads), 0, 1, dependent}, stream,
                  static_cast<const Word*>(x), index, static_cast<Word*>(y), outer * count, axis_extent,
                  count, inner_bytes / bytes);
  });
}

}  // namespace vitrail::cuda
