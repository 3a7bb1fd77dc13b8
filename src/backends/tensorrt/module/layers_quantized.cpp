// SPDX-License-Identifier: Apache-2.0
// Q/DQ pairs: TensorRT finds the integer products between them.
#include <algorithm>

#include "backends/tensorrt/module/layers.h"

namespace vitrail::tensorrt {
namespace {

using Binary = nv::ElementWiseOperation;

// The scales as a float32 tensor; `axis` says what they run along, -1 for one.
struct Scale {
  nv::ITensor* tensor = nullptr;
  int axis = -1;
};

Scale scale_of(Network& n, size_t rank) {
  const ValueId id = n.node().input(1);
  if (!n.graph().is_constant(id) || n.graph().constant(id).dtype() != DType::kF32) {
    n.refuse("its scale is not a constant of float32");
    return {};
  }
  const Tensor& t = n.graph().constant(id);
  if (n.has(2)) {
    const bool known = n.graph().is_constant(n.node().input(2));
    const Tensor* zero = known ? &n.graph().constant(n.node().input(2)) : nullptr;
    const auto* bytes = zero ? static_cast<const uint8_t*>(zero->data()) : nullptr;
    if (!zero || zero->dtype() != DType::kI8 || !std::all_of(bytes, bytes + zero->bytes(), [](uint8_t b) { return b == 0; })) {
      n.refuse("TensorRT quantizes to int8 around zero alone; quantize the model with `vitrail quantize --scheme symmetric`");
      return {};
    }
  }
  if (t.count() == 1) return {n.floats({}, t.as<float>(), nv::DataType::kFLOAT), -1};
  int64_t axis = n.node().integer("axis", 1);
  if (axis < 0) axis += static_cast<int64_t>(rank);
  if (n.node().integer("block_size", 0) != 0 || t.rank() != 1) {
    n.refuse("scales for blocks are not supported");
    return {};
  }
  return {n.floats(t.shape(), t.as<float>(), nv::DataType::kFLOAT), static_cast<int>(axis)};
}

}  // namespace

void emit_quantize(Network& n) {
  if (n.graph().value(n.node().outputs[0]).dtype != DType::kI8)
    return void(n.refuse("TensorRT quantizes to int8 alone; quantize the model with `vitrail quantize --scheme symmetric`"));
  nv::ITensor* x = n.in(0, -1, nv::DataType::kFLOAT);
  const Scale scale = scale_of(n, n.input_shape(0).size());
  if (x && scale.tensor) n.set(0, n.out(add_quantize(n.raw(), *x, *scale.tensor, scale.axis, nv::DataType::kINT8)));
}

void emit_dequantize(Network& n) {
  nv::ITensor* x = n.in(0);
  const Scale scale = scale_of(n, n.input_shape(0).size());
  if (!x || !scale.tensor) return;
  n.set(0, n.cast(n.out(add_dequantize(n.raw(), *x, *scale.tensor, scale.axis, nv::DataType::kFLOAT)), n.compute()));
}

// Back to what the passes made it of: dequantized x by dequantized W.
void emit_quantized_linear(Network& n) {
  const Node& node = n.node();
  if (node.integer("x_zero_point", 0) != 0 || n.input_value(0).dtype != DType::kI8)
    return void(n.refuse("its activations are not quantized around zero; quantize the model with `vitrail quantize --scheme symmetric`"));
  const int rank = static_cast<int>(n.input_shape(0).size());
  const float x_scale = node.real("x_scale", 1);
  nv::ITensor* x = n.in(0);
  nv::ITensor* w = n.in(1, rank);
  nv::ITensor* one = n.floats({}, std::span(&x_scale, 1), nv::DataType::kFLOAT);
  const Tensor& scales = n.graph().constant(node.input(2));
  nv::ITensor* columns = n.floats(scales.shape(), scales.as<float>(), nv::DataType::kFLOAT);
  if (!x || !w || !one || !columns) return;
  const auto wide = nv::DataType::kFLOAT;
  nv::ITensor* a = n.cast(n.out(add_dequantize(n.raw(), *x, *one, -1, wide)), n.compute());
  nv::ITensor* b = n.cast(n.out(add_dequantize(n.raw(), *w, *columns, rank - 1, wide)), n.compute());
  nv::ITensor* y = n.matmul(a, b);
  if (n.has(3)) y = n.binary(y, n.in(3), Binary::kSUM);
  y = n.activation(y, node.text("activation", ""));
  n.set(0, n.has(4) ? n.binary(y, n.in(4), Binary::kSUM) : y);
}

}  // namespace vitrail::tensorrt
