// SPDX-License-Identifier: Apache-2.0
// Kernels that only move data; the same for every instruction set.
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {
namespace {

// A permutation seen from its output: extents and the input's strides, outermost first, in elements. Axes of
// extent 1 are gone and axes that stay neighbours are one.
struct Moves {
  int rank = 0;
  int64_t extent[kMaxRank] = {};
  int64_t stride[kMaxRank] = {};

  Moves(int in_rank, const int64_t* shape, const int* perm) {
    int64_t in_stride[kMaxRank];
    int64_t step = 1;
    for (int i = in_rank - 1; i >= 0; --i) {
      in_stride[i] = step;
      step *= shape[i];
    }
    for (int i = 0; i < in_rank; ++i) {
      const int64_t n = shape[perm[i]];
      const int64_t s = in_stride[perm[i]];
      if (n == 1) continue;
      if (rank > 0 && stride[rank - 1] == n * s) {
        extent[rank - 1] *= n;
        stride[rank - 1] = s;
      } else {
        extent[rank] = n;
        stride[rank++] = s;
      }
    }
    if (rank == 0) {
      extent[0] = 1;
      stride[rank++] = 1;
    }
  }
};

// Where task `index` over the outer axes (all but those in `skip`) starts, in the input and in the output.
void locate(const Moves& m, const int64_t* out_stride, int64_t index, int skip_a, int skip_b, int64_t* from,
            int64_t* to) {
  *from = *to = 0;
  for (int i = m.rank - 1; i >= 0; --i) {
    if (i == skip_a || i == skip_b) continue;
    *from += index % m.extent[i] * m.stride[i];
    *to += index % m.extent[i] * out_stride[i];
    index /= m.extent[i];
  }
}

// Tiles keep both the lines read and the lines written in L1.
constexpr int64_t kTile = 32;

template <class T>
void permute_as(ThreadPool& pool, const T* x, const Moves& m, T* out) {
  int64_t out_stride[kMaxRank];
  int64_t total = 1;
  for (int i = m.rank - 1; i >= 0; --i) {
    out_stride[i] = total;
    total *= m.extent[i];
  }
  if (total == 0) return;
  const int last = m.rank - 1;
  const int64_t run = m.extent[last];
  int unit = last;  // the output axis along which the input is contiguous
  while (unit > 0 && m.stride[unit] != 1) --unit;

  if (unit == last) {
    constexpr int64_t kUnit = 16384;
    const int64_t runs = total / run;
    const int64_t group = std::max<int64_t>(1, kUnit / run);
    pool.parallel_for(ceil_div(runs, group), [&](int64_t task, int) {
      for (int64_t i = task * group; i < std::min(runs, (task + 1) * group); ++i) {
        int64_t from = 0;
        int64_t to = 0;
        locate(m, out_stride, i, last, last, &from, &to);
        std::memcpy(out + to, x + from, sizeof(T) * static_cast<size_t>(run));
      }
    });
    return;
  }
  const int64_t cuts = ceil_div(m.extent[unit], kTile);
  pool.parallel_for(total / run / m.extent[unit] * cuts, [&](int64_t task, int) {
    int64_t from = 0;
    int64_t to = 0;
    locate(m, out_stride, task / cuts, last, unit, &from, &to);
    const int64_t u0 = task % cuts * kTile;
    const int64_t u1 = std::min(m.extent[unit], u0 + kTile);
    for (int64_t l0 = 0; l0 < run; l0 += kTile) {
      const int64_t l1 = std::min(run, l0 + kTile);
      for (int64_t u = u0; u < u1; ++u) {
        const T* read = x + from + u;
        T* write = out + to + u * out_stride[unit];
        for (int64_t l = l0; l < l1; ++l) write[l] = read[l * m.stride[last]];
      }
    }
  });
}

}  // namespace

void permute(ThreadPool& pool, const void* x, int rank, const int64_t* shape, const int* perm,
             size_t element_size, void* out) {
  const Moves moves(rank, shape, perm);
  switch (element_size) {
    case 1:
      return permute_as(pool, static_cast<const uint8_t*>(x), moves, static_cast<uint8_t*>(out));
    case 2:
      return permute_as(pool, static_cast<const uint16_t*>(x), moves, static_cast<uint16_t*>(out));
    case 4:
      return permute_as(pool, static_cast<const uint32_t*>(x), moves, static_cast<uint32_t*>(out));
    default:
      return permute_as(pool, static_cast<const uint64_t*>(x), moves, static_cast<uint64_t*>(out));
  }
}

void gather_patches(ThreadPool& pool, const PatchArgs& a) {
  const int64_t grid_h = (a.height - a.kh) / a.sh + 1;
  const int64_t grid_w = (a.width - a.kw) / a.sw + 1;
  const int64_t patch = a.channels * a.kh * a.kw;
  // One row of patches reads kh full lines of every channel, each once.
  pool.parallel_for(a.batch * grid_h, [&](int64_t task, int) {
    const int64_t image = task / grid_h;
    const int64_t gy = task % grid_h;
    float* rows = a.out + task * grid_w * patch;
    for (int64_t c = 0; c < a.channels; ++c) {
      for (int64_t y = 0; y < a.kh; ++y) {
        const float* line = a.x + ((image * a.channels + c) * a.height + gy * a.sh + y) * a.width;
        float* to = rows + (c * a.kh + y) * a.kw;
        for (int64_t gx = 0; gx < grid_w; ++gx) {
          std::memcpy(to + gx * patch, line + gx * a.sw, sizeof(float) * static_cast<size_t>(a.kw));
        }
      }
    }
  });
}

}  // namespace vitrail::cpu
