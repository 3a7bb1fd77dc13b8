// SPDX-License-Identifier: Apache-2.0
// MatMul with NumPy's rules for 1-D operands and batches, and Gemm.
#include "backends/reference/multiply.h"
#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

// Integer products wrap around; they are rare and small.
template <class T>
void multiply_integers(const T* a, const T* b, T* c, int64_t m, int64_t depth, int64_t n) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t j = 0; j < n; ++j)
        c[i * n + j] =
            static_cast<T>(static_cast<uint64_t>(c[i * n + j]) +
                           static_cast<uint64_t>(a[i * depth + k]) * static_cast<uint64_t>(b[k * n + j]));
}

template <class T>
void multiply_floats(const Call& call, const T* a, const T* b, T* c, int64_t m, int64_t depth, int64_t n) {
  multiply(
      m, depth, n, [=](int64_t row, double* out) { std::copy_n(a + row * depth, depth, out); },
      [=](int64_t column, int64_t width, double* out) {
        for (int64_t k = 0; k < depth; ++k) std::copy_n(b + k * n + column, width, out + k * kPanel);
      },
      [=](int64_t row, int64_t column, std::span<const double> sums) {
        std::copy(sums.begin(), sums.end(), c + row * n + column);
      },
      call.pool);
}

}  // namespace

Result<Tensor> matmul(const Call& call) {
  const Tensor &x = call.input(0), &w = call.input(1);
  if (x.dtype() != w.dtype())
    return call.error("types {} and {} differ", dtype_name(x.dtype()), dtype_name(w.dtype()));
  if (x.rank() == 0 || w.rank() == 0) return call.error("a scalar is not a matrix");
  // A vector on the left is a row, on the right a column; the axis of 1 goes away in the end.
  Shape a = x.shape(), b = w.shape();
  if (x.rank() == 1) a.insert(a.begin(), 1);
  if (w.rank() == 1) b.push_back(1);
  const int64_t depth = a.back(), n = b.back();
  int64_t m = a[a.size() - 2];
  if (b[b.size() - 2] != depth)
    return call.error("{} times {}: {} columns meet {} rows", to_string(x.shape()), to_string(w.shape()),
                      depth, b[b.size() - 2]);
  Shape batch_a(a.begin(), a.end() - 2);
  const Shape batch_b(b.begin(), b.end() - 2);
  VTL_ASSIGN(Shape batch, broadcast_shapes(call, batch_a, batch_b));
  Shape shape = batch;
  if (x.rank() > 1) shape.push_back(m);
  if (w.rank() > 1) shape.push_back(n);
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), shape));
  if (element_count(batch_b) == 1 &&
      batch.size() == batch_a.size()) {  // one matrix for all: one tall product
    m *= element_count(batch_a);
    batch_a.clear(), batch.clear();
  }
  VTL_ASSIGN(const Shape stride_a, broadcast_strides(call, batch_a, batch));
  VTL_ASSIGN(const Shape stride_b,
             batch.empty() ? Result<Shape>(Shape{}) : broadcast_strides(call, batch_b, batch));
  return with_number(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    walk<2>(batch, {stride_a, stride_b}, [&](int64_t i, const auto& at) {
      const T *pa = x.as<T>().data() + at[0] * m * depth, *pb = w.as<T>().data() + at[1] * depth * n;
      T* pc = y.as_mutable<T>().data() + i * m * n;
      if constexpr (std::is_floating_point_v<T>)
        multiply_floats(call, pa, pb, pc, m, depth, n);
      else
        multiply_integers(pa, pb, pc, m, depth, n);
    });
    return y;
  });
}

// alpha · A' · B' + beta · C, with A' and B' transposed on request and C broadcast to the result.
Result<Tensor> gemm(const Call& call) {
  const Tensor &a = call.input(0), &b = call.input(1);
  const Tensor* c = call.optional(2);
  if (a.rank() != 2 || b.rank() != 2)
    return call.error("needs matrices, got {} and {}", to_string(a.shape()), to_string(b.shape()));
  if (a.dtype() != b.dtype() || (c && c->dtype() != a.dtype()))
    return call.error("the operands' types differ");
  const bool trans_a = call.node.integer("transA", 0) != 0, trans_b = call.node.integer("transB", 0) != 0;
  const int64_t m = a.dim(trans_a ? 1 : 0), depth = a.dim(trans_a ? 0 : 1), n = b.dim(trans_b ? 0 : 1);
  if (b.dim(trans_b ? 1 : 0) != depth)
    return call.error("A {} and B {} (transA {}, transB {}) do not fit", to_string(a.shape()),
                      to_string(b.shape()), trans_a, trans_b);
  VTL_ASSIGN(const Shape strides, broadcast_strides(call, c ? c->shape() : Shape{}, {m, n}));
  VTL_ASSIGN(Tensor y, make_output(call, a.dtype(), {m, n}));
  const double alpha = static_cast<double>(call.node.real("alpha", 1)),
               beta = static_cast<double>(call.node.real("beta", 1));
  return with_float(call, a.dtype(), [&]<class T>() -> Result<Tensor> {
    const T *pa = a.as<T>().data(), *pb = b.as<T>().data(), *pc = c ? c->as<T>().data() : nullptr;
    T* out = y.as_mutable<T>().data();
    const int64_t a_row = trans_a ? 1 : depth, a_k = trans_a ? m : 1, b_k = trans_b ? 1 : n,
                  b_column = trans_b ? depth : 1;
    multiply(
        m, depth, n,
        [&](int64_t row, double* to) {
          for (int64_t k = 0; k < depth; ++k) to[k] = static_cast<double>(pa[row * a_row + k * a_k]);
        },
        [&](int64_t column, int64_t width, double* to) {
          for (int64_t k = 0; k < depth; ++k)
            for (int64_t j = 0; j < width; ++j)
              to[k * kPanel + j] = static_cast<double>(pb[k * b_k + (column + j) * b_column]);
        },
        [&](int64_t row, int64_t column, std::span<const double> sums) {
          for (size_t j = 0; j < sums.size(); ++j) {
            const int64_t at = column + static_cast<int64_t>(j);
            const double added =
                pc ? beta * static_cast<double>(pc[row * strides[0] + at * strides[1]]) : 0.0;
            out[row * n + at] = static_cast<T>(alpha * sums[j] + added);
          }
        },
        call.pool);
    return y;
  });
}

}  // namespace vitrail::reference
