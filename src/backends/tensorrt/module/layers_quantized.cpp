// SPDX-License-Identifier: Apache-2.0
// Q/DQ pairs: TensorRT finds the integer products between them.
#include <algorithm>
#include <cmath>

#include "backends/tensorrt/module/layers.h"

namespace vitrail::tensorrt {
namespace {

using Binary = nv::ElementWiseOperation;

// The scales as a float32 tensor; `axis` says what they run along, -1 for one.
struct Scale {
  nv::ITensor* tensor = nullptr;
  int axis = -1;
};

// TensorRT's int8 lies around zero. A range that does not, [-zero·scale, (255 - zero)·scale] of uint8 say,
// goes into the symmetric one that holds it: steps of up to twice the size, and nothing cut off.
float symmetric(float scale, int64_t zero, DType dtype) {
  const int64_t low = dtype == DType::kU8 ? zero : zero + 128, high = 255 - low;
  if (dtype == DType::kI8 && zero == 0) return scale;
  return scale * static_cast<float>(std::max(low, high)) / 127.0f;
}

Scale scale_of(Network& n, size_t rank, DType dtype) {
  const ValueId id = n.node().input(1), zero_id = n.node().input(2);
  if (!n.graph().is_constant(id) || n.graph().constant(id).dtype() != DType::kF32 ||
      (n.has(2) && !n.graph().is_constant(zero_id))) {
    n.refuse("its scale is not a constant of float32");
    return {};
  }
  if (dtype != DType::kI8 && dtype != DType::kU8) {
    n.refuse("TensorRT quantizes to 8 bits, not to {}", dtype_name(dtype));
    return {};
  }
  const Tensor& t = n.graph().constant(id);
  std::vector<float> scales(t.as<float>().begin(), t.as<float>().end());
  for (size_t i = 0; i < scales.size(); ++i) {
    const Tensor* zeros = n.has(2) ? &n.graph().constant(zero_id) : nullptr;
    const size_t at = zeros && zeros->count() > 1 ? i : 0;
    const int64_t zero = !zeros                ? 0
                         : dtype == DType::kU8 ? int64_t{zeros->as<uint8_t>()[at]}
                                               : int64_t{zeros->as<int8_t>()[at]};
    scales[i] = symmetric(scales[i], zero, dtype);
  }
  if (t.count() == 1) return {n.floats({}, scales, nv::DataType::kFLOAT), -1};
  int64_t axis = n.node().integer("axis", 1);
  if (axis < 0) axis += static_cast<int64_t>(rank);
  if (n.node().integer("block_size", 0) != 0 || t.rank() != 1) {
    n.refuse("scales for blocks are not supported");
    return {};
  }
  return {n.floats(t.shape(), scales, nv::DataType::kFLOAT), static_cast<int>(axis)};
}

// TensorRT wants steps above zero: a LayerScale folded into them may have made them negative (then the bytes turn, -128 into
// 127) or zero.
struct Columns {
  Tensor bytes;  // [rows, columns] int8
  std::vector<float> scales;
};

Columns positive(const Tensor& w, const Tensor& scales) {
  Columns c{w, {scales.as<float>().begin(), scales.as<float>().end()}};
  if (std::ranges::all_of(c.scales, [](float s) { return s > 0; })) return c;
  c.bytes = w.clone();
  const auto bytes = c.bytes.as_mutable<int8_t>();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const float s = c.scales[i % c.scales.size()];
    if (s <= 0) bytes[i] = s == 0 ? int8_t{0} : static_cast<int8_t>(std::min(127, -bytes[i]));
  }
  for (float& s : c.scales) s = s == 0 ? 1 : std::fabs(s);
  return c;
}

// 8.x finds integer products behind Constant -> Quantize -> Dequantize; it is not promised constants that are integers
// already. The bytes come out as they are. As a convolution's: [columns, rows, 1, 1].
nv::ITensor* weights_before_10(Network& n, const Columns& w) {
  const int64_t rows = w.bytes.dim(0), columns = w.bytes.dim(1);
  const std::span<const float> scales = w.scales;
  const auto bytes = w.bytes.as<int8_t>();
  std::vector<float> turned(static_cast<size_t>(rows * columns));
  for (int64_t c = 0; c < columns; ++c) {
    const float scale = scales[scales.size() == 1 ? 0 : static_cast<size_t>(c)];
    for (int64_t r = 0; r < rows; ++r)
      turned[static_cast<size_t>(c * rows + r)] = scale * bytes[static_cast<size_t>(r * columns + c)];
  }
  nv::ITensor* constant = n.floats({columns, rows, 1, 1}, turned, nv::DataType::kFLOAT);
  const bool one = scales.size() == 1;
  nv::ITensor* scale = n.floats(one ? Shape{} : Shape{columns}, scales, nv::DataType::kFLOAT);
  if (!constant || !scale) return nullptr;
  const int axis = one ? -1 : 0;
  nv::ITensor* small = n.out(add_quantize(n.raw(), *constant, *scale, axis, nv::DataType::kINT8));
  return small ? n.out(add_dequantize(n.raw(), *small, *scale, axis, n.compute())) : nullptr;
}

}  // namespace

void emit_quantize(Network& n) {
  const Scale scale = scale_of(n, n.input_shape(0).size(), n.graph().value(n.node().outputs[0]).dtype);
  const bool are_rows = scale.axis < 0 && n.are_rows(0);
  nv::ITensor* x = are_rows ? n.rows(0) : n.in(0);
  if (!x || !scale.tensor) return;
  nv::ITensor* y = n.out(add_quantize(n.raw(), *x, *scale.tensor, scale.axis, nv::DataType::kINT8));
  are_rows ? n.set_rows(0, y) : n.set(0, y);
}

void emit_dequantize(Network& n) {
  // Its bytes must be around zero as they are: what emit_quantize() made, or weights that are.
  const DType dtype = n.input_value(0).dtype;
  const bool constant = n.graph().is_constant(n.node().input(0));
  if (constant && (dtype != DType::kI8 || n.has(2))) {
    const bool plain = dtype == DType::kI8 && n.graph().is_constant(n.node().input(2)) &&
                       std::ranges::all_of(n.graph().constant(n.node().input(2)).as<int8_t>(),
                                           [](int8_t z) { return z == 0; });
    if (!plain) return void(n.refuse("its weights are not int8 around zero"));
  }
  nv::ITensor* x = n.in(0);
  const Scale scale = scale_of(n, n.input_shape(0).size(), dtype);
  if (x && scale.tensor) n.set(0, n.out(add_dequantize(n.raw(), *x, *scale.tensor, scale.axis, n.compute())));
}

// Back to what the passes made it of: dequantized x by dequantized W.
void emit_quantized_linear(Network& n) {
  const Node& node = n.node();
  const int rank = static_cast<int>(n.input_shape(0).size());
  const float x_scale =
      symmetric(node.real("x_scale", 1), node.integer("x_zero_point", 0), n.input_value(0).dtype);
  nv::ITensor* one = n.floats({}, std::span(&x_scale, 1), nv::DataType::kFLOAT);
  const Columns w = positive(n.graph().constant(node.input(1)), n.graph().constant(node.input(2)));
  if (!one) return;
  nv::ITensor* y = nullptr;
  if (kStronglyTyped) {
    nv::ITensor* x = n.in(0);
    nv::ITensor* a = x ? n.out(add_dequantize(n.raw(), *x, *one, -1, n.compute())) : nullptr;
    Shape shape(static_cast<size_t>(std::max(0, rank - 2)), 1);
    shape.insert(shape.end(), w.bytes.shape().begin(), w.bytes.shape().end());
    nv::ITensor* integers = n.bytes(shape, w.bytes.as<int8_t>());
    nv::ITensor* columns = n.floats({std::ssize(w.scales)}, w.scales, nv::DataType::kFLOAT);
    if (a && integers && columns)
      y = n.matmul(a, n.out(add_dequantize(n.raw(), *integers, *columns, rank - 1, n.compute())));
    if (n.has(3)) y = n.binary(y, n.in(3), Binary::kSUM);
  } else {
    nv::ITensor* rows = n.rows(0);
    if (!rows) return void(n.refuse("its number of rows does not grow evenly with the batch"));
    nv::ITensor* a = n.out(add_dequantize(n.raw(), *rows, *one, -1, n.compute()));
    nv::ITensor* b = weights_before_10(n, w);
    if (!a || !b) return;
    const auto columns = static_cast<Extent>(w.bytes.dim(1));
    y = n.row_product(a, columns, {n.compute(), nullptr, 0}, b, n.weights(node.input(3)));
  }
  if (kStronglyTyped) return set_sum(n, n.activation(y, node.text("activation", "")), 4);
  set_sum(n, row_activation(n, y), 4, true);
}

}  // namespace vitrail::tensorrt
