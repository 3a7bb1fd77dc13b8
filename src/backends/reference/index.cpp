// SPDX-License-Identifier: Apache-2.0
// Operators that pick or place elements by their indices, and IsNaN.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

Result<std::vector<int64_t>> all_integers(const Call& call, const Tensor& t) {
  return read_integers(call, t.reshaped({t.count()}));
}

// An index in [0, extent) from one in [-extent, extent).
Result<int64_t> checked_index(const Call& call, int64_t index, int64_t extent) {
  if (index < -extent || index >= extent)
    return call.error("index {} is outside an axis of {} elements", index, extent);
  return index < 0 ? index + extent : index;
}

// Where each group of `depth` numbers of the indices leads to, in elements of the axes from `first` on.
Result<std::vector<int64_t>> offsets_nd(const Call& call, const Tensor& indices, const Shape& data,
                                        size_t first, size_t depth) {
  VTL_ASSIGN(const std::vector<int64_t> numbers, all_integers(call, indices));
  const Shape strides = strides_of(data);
  std::vector<int64_t> offsets(numbers.size() / depth, 0);
  for (size_t i = 0; i < offsets.size(); ++i)
    for (size_t k = 0; k < depth; ++k) {
      VTL_ASSIGN(const int64_t at, checked_index(call, numbers[i * depth + k], data[first + k]));
      offsets[i] += at * strides[first + k];
    }
  return offsets;
}

// Elements of the indices' shape, each with the offset that it has in `data` along `axis`.
Result<std::vector<int64_t>> offsets_along(const Call& call, const Tensor& indices, const Shape& data) {
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", 0), data.size()));
  if (indices.rank() != data.size())
    return call.error("indices {} and data {} differ in their number of axes", to_string(indices.shape()),
                      to_string(data));
  for (size_t i = 0; i < data.size(); ++i)
    if (i != axis && indices.dim(i) > data[i])
      return call.error("indices {} do not fit data {}", to_string(indices.shape()), to_string(data));
  VTL_ASSIGN(std::vector<int64_t> offsets, all_integers(call, indices));
  const Shape strides = strides_of(data);
  Shape others = strides;
  others[axis] = 0;
  Status status;
  walk<1>(indices.shape(), {others}, [&](int64_t i, const auto& at) {
    auto& offset = offsets[static_cast<size_t>(i)];
    auto index = checked_index(call, offset, data[axis]);
    if (!index.ok()) status = index.status();
    offset = index.ok() ? at[0] + *index * strides[axis] : 0;
  });
  VTL_TRY(status);
  return offsets;
}

Tensor picked(const Tensor& data, const std::vector<int64_t>& offsets, int64_t run, Tensor y) {
  const size_t size = dtype_size(data.dtype());
  const size_t bytes = size * static_cast<size_t>(run);
  for (size_t i = 0; i < offsets.size() && bytes; ++i)
    std::memcpy(static_cast<char*>(y.mutable_data()) + i * bytes,
                static_cast<const char*>(data.data()) + static_cast<size_t>(offsets[i]) * size, bytes);
  return y;
}

// Puts runs of `updates` into a copy of the data, one after the other, as `reduction` joins them.
Result<Tensor> placed(const Call& call, const std::vector<int64_t>& offsets, int64_t run) {
  const Tensor &data = call.input(0), &updates = call.input(2);
  const std::string how = call.node.text("reduction", "none");
  if (updates.dtype() != data.dtype())
    return call.error("updates are {}, data {}", dtype_name(updates.dtype()), dtype_name(data.dtype()));
  if (updates.count() != static_cast<int64_t>(offsets.size()) * run)
    return call.error("updates {} do not fit the indices", to_string(updates.shape()));
  if (how != "none" && how != "add" && how != "mul" && how != "min" && how != "max")
    return call.error("reduction '{}' is none of none, add, mul, min, max", how);
  Tensor y = data.clone();
  return with_any(call, data.dtype(), [&]<class T>() -> Result<Tensor> {
    const T* from = updates.as<T>().data();
    T* to = y.as_mutable<T>().data();
    for (const int64_t offset : offsets)
      for (int64_t i = 0; i < run; ++i, ++from) {
        T& v = to[offset + i];
        if (how == "none")
          v = *from;
        else if (how == "add")
          v = static_cast<T>(Wide<T>(v) + Wide<T>(*from));
        else if (how == "mul")
          v = static_cast<T>(Wide<T>(v) * Wide<T>(*from));
        else
          v = how == "min" ? std::min(v, *from) : std::max(v, *from);
      }
    return y;
  });
}

}  // namespace

Result<Tensor> is_nan(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(Tensor y, make_output(call, DType::kBool, x.shape()));
  return with_float(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    std::ranges::transform(x.as<T>(), y.as_mutable<uint8_t>().begin(), [](T v) { return v != v; });
    return y;
  });
}

Result<Tensor> gather_elements(const Call& call) {
  const Tensor &x = call.input(0), &indices = call.input(1);
  VTL_ASSIGN(const auto offsets, offsets_along(call, indices, x.shape()));
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), indices.shape()));
  return picked(x, offsets, 1, std::move(y));
}

Result<Tensor> gather_nd(const Call& call) {
  const Tensor &x = call.input(0), &indices = call.input(1);
  const auto shared = static_cast<size_t>(std::max<int64_t>(call.node.integer("batch_dims", 0), 0));
  const auto depth = indices.rank() ? static_cast<size_t>(indices.dim(indices.rank() - 1)) : 0;
  if (depth < 1 || shared >= indices.rank() || shared + depth > x.rank())
    return call.error("indices {} do not fit data {}", to_string(indices.shape()), to_string(x.shape()));
  VTL_ASSIGN(auto offsets, offsets_nd(call, indices, x.shape(), shared, depth));
  const auto axes = x.shape().begin();
  int64_t groups = 1;
  for (size_t i = 0; i < shared; ++i) {
    if (indices.dim(i) != x.dim(i)) return call.error("the shared axis {} differs", i);
    groups *= x.dim(i);
  }
  const Shape rest(axes + static_cast<std::ptrdiff_t>(shared + depth), x.shape().end());
  if (groups > 0) {
    const int64_t each = static_cast<int64_t>(offsets.size()) / groups, stride = x.count() / groups;
    for (size_t i = 0; i < offsets.size(); ++i) offsets[i] += static_cast<int64_t>(i) / each * stride;
  }
  Shape shape(indices.shape().begin(), indices.shape().end() - 1);
  shape.insert(shape.end(), rest.begin(), rest.end());
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), shape));
  return picked(x, offsets, element_count(rest), std::move(y));
}

Result<Tensor> scatter_elements(const Call& call) {
  VTL_ASSIGN(const auto offsets, offsets_along(call, call.input(1), call.input(0).shape()));
  return placed(call, offsets, 1);
}

Result<Tensor> scatter_nd(const Call& call) {
  const Tensor &x = call.input(0), &indices = call.input(1);
  const auto depth = indices.rank() ? static_cast<size_t>(indices.dim(indices.rank() - 1)) : 0;
  if (depth < 1 || depth > x.rank())
    return call.error("indices {} do not fit data {}", to_string(indices.shape()), to_string(x.shape()));
  VTL_ASSIGN(const auto offsets, offsets_nd(call, indices, x.shape(), 0, depth));
  int64_t run = 1;
  for (size_t i = depth; i < x.rank(); ++i) run *= x.dim(i);
  return placed(call, offsets, run);
}

// NaN counts as the largest number, as in PyTorch; equal ones keep their order.
Result<Tensors> top_k(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const std::vector<int64_t> k, read_integers(call, call.input(1)));
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", -1), x.rank()));
  if (k.size() != 1 || k[0] < 0 || k[0] > x.dim(axis))
    return call.error("k {} does not fit axis {} of {}", k, axis, to_string(x.shape()));
  const bool largest = call.node.integer("largest", 1) != 0;
  Shape shape = x.shape();
  shape[axis] = k[0];
  VTL_ASSIGN(Tensor values, make_output(call, x.dtype(), shape));
  VTL_ASSIGN(Tensor indices, make_output(call, DType::kI64, shape));
  const AxisSplit s = split_at(x.shape(), axis);
  VTL_ASSIGN(values, with_number(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
               std::vector<int64_t> order(static_cast<size_t>(s.extent));
               for (int64_t row = 0; row < s.outer * s.inner; ++row) {
                 const int64_t o = row / s.inner, i = row % s.inner;
                 const T* in = x.as<T>().data() + o * s.extent * s.inner + i;
                 std::iota(order.begin(), order.end(), 0);
                 std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
                   const T u = in[a * s.inner], v = in[b * s.inner];
                   return largest ? u > v || (u != u && v == v) : u < v || (v != v && u == u);
                 });
                 for (int64_t n = 0; n < k[0]; ++n) {
                   const auto to = static_cast<size_t>((o * k[0] + n) * s.inner + i);
                   const int64_t from = order[static_cast<size_t>(n)];
                   values.as_mutable<T>()[to] = in[from * s.inner];
                   indices.as_mutable<int64_t>()[to] = from;
                 }
               }
               return values;
             }));
  return Tensors{std::move(values), std::move(indices)};
}

// Keeps what lies on the side of diagonal k, which runs from [0, k]; the rest becomes 0.
Result<Tensor> trilu(const Call& call) {
  const Tensor& x = call.input(0);
  const bool upper = call.node.integer("upper", 1) != 0;
  int64_t k = 0;
  if (const Tensor* given = call.optional(1)) {
    VTL_ASSIGN(const std::vector<int64_t> numbers, read_integers(call, *given));
    if (numbers.size() != 1) return call.error("k has {} elements, needs one", numbers.size());
    k = numbers[0];
  }
  if (x.rank() < 2) return call.error("its input {} needs at least two axes", to_string(x.shape()));
  const int64_t rows = x.dim(x.rank() - 2), columns = x.dim(x.rank() - 1);
  k = std::clamp(k, -rows, columns);
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), x.shape()));
  const size_t size = dtype_size(x.dtype());
  const auto* from = static_cast<const char*>(x.data());
  auto* to = static_cast<char*>(y.mutable_data());
  for (int64_t row = 0, count = columns ? x.count() / columns : 0; row < count; ++row) {
    const int64_t diagonal = std::clamp<int64_t>(row % rows + k + (upper ? 0 : 1), 0, columns);
    const int64_t first = upper ? diagonal : 0, last = upper ? columns : diagonal;
    const size_t at = static_cast<size_t>(row * columns + first) * size;
    std::memcpy(to + at, from + at, static_cast<size_t>(last - first) * size);
  }
  return y;
}

}  // namespace vitrail::reference
