// SPDX-License-Identifier: Apache-2.0
#include "graph/evaluator.h"

#include <algorithm>

namespace vitrail {
namespace {

template <class T>
Tensor narrowed(DType dtype, const Shape& shape, const std::vector<Dim>& integers) {
  Tensor t(dtype, shape);
  std::transform(integers.begin(), integers.end(), t.as_mutable<T>().begin(),
                 [](Dim d) { return static_cast<T>(d.fixed); });
  return t;
}

}  // namespace

std::optional<Tensor> tensor_of_integers(const Value& v) {
  if (!v.integers || !v.shape || !is_fixed(*v.shape) || !is_fixed(*v.integers)) return std::nullopt;
  const Shape shape = at_batch(*v.shape, 1);
  if (element_count(shape) != std::ssize(*v.integers)) return std::nullopt;
  switch (v.dtype) {
    case DType::kI64:
      return narrowed<int64_t>(v.dtype, shape, *v.integers);
    case DType::kI32:
      return narrowed<int32_t>(v.dtype, shape, *v.integers);
    case DType::kBool:
      return narrowed<uint8_t>(v.dtype, shape, *v.integers);
    default:
      return std::nullopt;
  }
}

void set_constant(Value& v, const Tensor& tensor) {
  v.shape = sym_shape(tensor.shape());
  v.dtype = tensor.dtype();
  v.integers.reset();
  if (tensor.dtype() == DType::kI64 && tensor.rank() <= 1) {
    const auto numbers = tensor.as<int64_t>();
    v.integers = sym_shape(Shape(numbers.begin(), numbers.end()));
  }
  v.constant = tensor;
}

}  // namespace vitrail
