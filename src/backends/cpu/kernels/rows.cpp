// SPDX-License-Identifier: Apache-2.0
// Cuts the kernels on rows and plain arrays into units of work.
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/table.h"

namespace vitrail::cpu {
namespace {

// A unit of work: some microseconds, far above the cost of handing it out, and within L1.
constexpr int64_t kUnit = 8192;

// Calls body(first, last) for ranges that cover [0, rows), each of about kUnit elements.
template <class Body>
void over_rows(ThreadPool& pool, int64_t rows, int64_t cols, const Body& body) {
  const int64_t step = std::max<int64_t>(1, kUnit / std::max<int64_t>(cols, 1));
  pool.parallel_for(ceil_div(rows, step),
                    [&](int64_t task, int) { body(task * step, std::min(rows, (task + 1) * step)); });
}

}  // namespace

void unary(const Kernels& kernels, ThreadPool& pool, Activation f, const float* x, float* y, int64_t count) {
  over_rows(pool, count, 1,
            [&](int64_t first, int64_t last) { kernels.unary(f, x + first, y + first, last - first); });
}

void binary(const Kernels& kernels, ThreadPool& pool, const BinaryArgs& args) {
  BinaryArgs a = args;
  if (!a.outer.empty()) {
    int64_t rows = a.rows;
    for (const auto& axis : a.outer) rows *= axis.extent;
    over_rows(pool, rows, a.cols, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        const float *x = a.a + r % a.rows * a.a_row, *y = a.b + r % a.rows * a.b_row;
        int64_t rest = r / a.rows;
        for (size_t i = a.outer.size(); i-- > 0; rest /= a.outer[i].extent) {
          x += rest % a.outer[i].extent * a.outer[i].a;
          y += rest % a.outer[i].extent * a.outer[i].b;
        }
        kernels.binary_row(a.op, x, a.a_col, y, a.b_col, a.out + r * a.cols, a.cols);
      }
    });
    return;
  }
  // Operands that simply go on from row to row make one long row.
  if (a.rows == 1 || (a.a_row == a.cols * a.a_col && a.b_row == a.cols * a.b_col)) {
    a.cols *= a.rows;
    a.rows = 1;
  }
  if (a.rows == 1) {
    over_rows(pool, a.cols, 1, [&](int64_t first, int64_t last) {
      kernels.binary_row(a.op, a.a + first * a.a_col, a.a_col, a.b + first * a.b_col, a.b_col, a.out + first,
                         last - first);
    });
    return;
  }
  over_rows(pool, a.rows, a.cols, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      kernels.binary_row(a.op, a.a + r * a.a_row, a.a_col, a.b + r * a.b_row, a.b_col, a.out + r * a.cols,
                         a.cols);
    }
  });
}

void layer_norm(const Kernels& kernels, ThreadPool& pool, const float* x, const float* gamma,
                const float* beta, float eps, int64_t rows, int64_t cols, float* y) {
  over_rows(pool, rows, cols, [&](int64_t first, int64_t last) {
    kernels.layer_norm(x + first * cols, gamma, beta, eps, last - first, cols, y + first * cols);
  });
}

void layer_norm_bytes(const Kernels& kernels, ThreadPool& pool, const float* x, const float* gamma,
                      const float* beta, float eps, int64_t rows, int64_t cols, const ByteScale& scale,
                      uint8_t* q) {
  over_rows(pool, rows, cols, [&](int64_t first, int64_t last) {
    kernels.layer_norm_bytes(x + first * cols, gamma, beta, eps, last - first, cols, scale, q + first * cols);
  });
}

void quantize(const Kernels& kernels, ThreadPool& pool, const float* x, int64_t count, const ByteScale& scale,
              uint8_t* q) {
  over_rows(pool, count, 1, [&](int64_t first, int64_t last) {
    kernels.quantize(x + first, last - first, scale, q + first);
  });
}

void softmax(const Kernels& kernels, ThreadPool& pool, const float* x, int64_t rows, int64_t cols, float* y) {
  if (cols == 0) return;
  over_rows(pool, rows, cols, [&](int64_t first, int64_t last) {
    kernels.softmax(x + first * cols, last - first, cols, y + first * cols);
  });
}

}  // namespace vitrail::cpu
