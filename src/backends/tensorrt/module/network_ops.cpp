// SPDX-License-Identifier: Apache-2.0
// The single layers that emitters are written in.
#include <algorithm>
#include <cmath>

#include "backends/tensorrt/module/network.h"
#include "core/half.h"

namespace vitrail::tensorrt {
namespace {

using Binary = nv::ElementWiseOperation;

double element(const Tensor& t, size_t i) {
  switch (t.dtype()) {
    case DType::kF32:
      return static_cast<double>(t.as<float>()[i]);
    case DType::kF64:
      return t.as<double>()[i];
    case DType::kF16:
      return static_cast<double>(half_to_float(t.as<uint16_t>()[i]));
    case DType::kBF16:
      return static_cast<double>(bfloat16_to_float(t.as<uint16_t>()[i]));
    case DType::kI8:
      return t.as<int8_t>()[i];
    case DType::kU8:
    case DType::kBool:
      return t.as<uint8_t>()[i];
    case DType::kI32:
      return t.as<int32_t>()[i];
    case DType::kI64:
      return static_cast<double>(t.as<int64_t>()[i]);
    default:
      return std::nan("");
  }
}

template <class T, class F>
std::vector<std::byte> map(const Tensor& t, F&& f) {
  std::vector<std::byte> bytes(static_cast<size_t>(t.count()) * sizeof(T));
  T* out = reinterpret_cast<T*>(bytes.data());
  for (size_t i = 0; i < static_cast<size_t>(t.count()); ++i) out[i] = static_cast<T>(f(element(t, i)));
  return bytes;
}

}  // namespace

std::vector<std::byte> convert(const Tensor& t, nv::DataType type) {
  const auto same = [](double v) { return v; };
  // INT32 indices: ONNX's "to the end" is beyond int32.
  const auto clamped = [](double v) { return std::clamp(v, -2147483648.0, 2147483647.0); };
  switch (type) {
    case nv::DataType::kHALF:
      return map<uint16_t>(t, [](double v) { return float_to_half(static_cast<float>(v)); });
#if VTL_TRT_AT_LEAST(10, 0)
    case nv::DataType::kBF16:
      return map<uint16_t>(t, [](double v) { return float_to_bfloat16(static_cast<float>(v)); });
    case nv::DataType::kINT64:
      return map<int64_t>(t, same);
#endif
    case nv::DataType::kINT32:
      return map<int32_t>(t, clamped);
    case nv::DataType::kINT8:
      return map<int8_t>(t, same);
    case nv::DataType::kUINT8:
    case nv::DataType::kBOOL:
      return map<uint8_t>(t, same);
    default:
      return map<float>(t, same);
  }
}

nv::ITensor* Network::cast(nv::ITensor* x, nv::DataType to) {
  if (!x || x->getType() == to) return x;
  return out(add_cast(net_, *x, to));
}

nv::ITensor* Network::ranked(nv::ITensor* x, int rank) {
  if (!x) return nullptr;
  const nv::Dims d = x->getDimensions();
  if (d.nbDims >= rank) return x;
  // The one extent that is not known is found by TensorRT.
  SymShape shape(static_cast<size_t>(rank - d.nbDims), Dim::of(1));
  int open = 0;
  for (int i = 0; i < d.nbDims; ++i) open += d.d[i] < 0;
  if (open > 1) return refuse("an operand of {} axes with more than one that depends on the batch", d.nbDims);
  for (int i = 0; i < d.nbDims; ++i) shape.push_back(d.d[i] < 0 ? Dim::batch() : Dim::of(d.d[i]));
  return reshape(x, shape);
}

nv::ITensor* Network::binary(nv::ITensor* a, nv::ITensor* b, Binary op) {
  if (!a || !b) return nullptr;
  const int rank = std::max(a->getDimensions().nbDims, b->getDimensions().nbDims);
  a = ranked(a, rank);
  b = ranked(b, rank);
  return a && b ? out(net_.addElementWise(*a, *b, op)) : nullptr;
}

nv::ITensor* Network::unary(nv::ITensor* x, nv::UnaryOperation op) {
  return x ? out(net_.addUnary(*x, op)) : nullptr;
}

nv::ITensor* Network::activation(nv::ITensor* x, nv::ActivationType type) {
  return x ? out(net_.addActivation(*x, type)) : nullptr;
}

nv::ITensor* Network::activation(nv::ITensor* x, std::string_view name) {
  if (!x || name.empty() || name == "none") return x;
  if (name == "relu") return activation(x, nv::ActivationType::kRELU);
  if (name == "sigmoid") return activation(x, nv::ActivationType::kSIGMOID);
  if (name == "tanh") return activation(x, nv::ActivationType::kTANH);
  if (name == "silu") return binary(x, activation(x, nv::ActivationType::kSIGMOID), Binary::kPROD);
  if (name == "gelu_quick") {
    nv::ITensor* scaled = binary(x, scalar(1.702f, x), Binary::kPROD);
    return binary(x, activation(scaled, nv::ActivationType::kSIGMOID), Binary::kPROD);
  }
  if (name != "gelu" && name != "gelu_tanh") return refuse("activation '{}' is not known", name);
  const bool tanh = name == "gelu_tanh";
  if (nv::ITensor* y = out(add_gelu(net_, *x, tanh))) return y;
  nv::ITensor* inner = nullptr;
  if (tanh) {  // tanh(√(2/π) (x + 0.044715 x³))
    nv::ITensor* cube = binary(binary(x, x, Binary::kPROD), x, Binary::kPROD);
    inner = binary(x, binary(cube, scalar(0.044715f, x), Binary::kPROD), Binary::kSUM);
    inner = activation(binary(inner, scalar(0.7978845608f, x), Binary::kPROD), nv::ActivationType::kTANH);
  } else {
    inner = unary(binary(x, scalar(0.7071067812f, x), Binary::kPROD), nv::UnaryOperation::kERF);
  }
  nv::ITensor* gate = binary(inner, scalar(1.0f, x), Binary::kSUM);
  return binary(binary(x, scalar(0.5f, x), Binary::kPROD), gate, Binary::kPROD);
}

nv::ITensor* Network::reshape(nv::ITensor* x, const SymShape& shape) {
  if (!x) return nullptr;
  nv::IShuffleLayer* layer = net_.addShuffle(*x);
  if (!layer) return nullptr;
  keep_zero_extents(*layer);
  const auto open = std::ranges::count_if(shape, [](const Dim& d) { return !d.is_fixed(); });
  if (open <= 1) {
    Shape target;
    for (const Dim& d : shape) target.push_back(d.is_fixed() ? d.fixed : -1);
    layer->setReshapeDimensions(dims(target));
  } else {
    nv::ITensor* target = extents(shape);
    if (!target) return nullptr;
    layer->setInput(1, *target);
  }
  return out(layer);
}

nv::ITensor* Network::transpose(nv::ITensor* x, std::span<const int64_t> order) {
  nv::IShuffleLayer* layer = x ? net_.addShuffle(*x) : nullptr;
  if (!layer) return nullptr;
  nv::Permutation permutation{};
  for (size_t i = 0; i < order.size() && i < nv::Dims::MAX_DIMS; ++i)
    permutation.order[i] = static_cast<int32_t>(order[i]);
  layer->setFirstTranspose(permutation);
  return out(layer);
}

nv::ITensor* Network::slice(nv::ITensor* x, const Shape& start, const SymShape& size, const Shape& stride) {
  if (!x) return nullptr;
  Shape fixed;
  for (const Dim& d : size) fixed.push_back(d.is_fixed() ? d.fixed : 0);
  nv::ISliceLayer* layer = net_.addSlice(*x, dims(start), dims(fixed), dims(stride));
  if (layer && !is_fixed(size)) {
    nv::ITensor* target = extents(size);
    if (!target) return nullptr;
    layer->setInput(2, *target);
  }
  return out(layer);
}

nv::ITensor* Network::matmul(nv::ITensor* a, nv::ITensor* b, bool transpose_a, bool transpose_b) {
  if (!a || !b) return nullptr;
  const int rank = std::max(a->getDimensions().nbDims, b->getDimensions().nbDims);
  a = ranked(a, rank);
  b = ranked(b, rank);
  if (!a || !b) return nullptr;
  const auto how = [](bool t) { return t ? nv::MatrixOperation::kTRANSPOSE : nv::MatrixOperation::kNONE; };
  return out(net_.addMatrixMultiply(*a, how(transpose_a), *b, how(transpose_b)));
}

nv::ITensor* Network::as_rows(nv::ITensor* x, const SymShape& shape) {
  if (shape.empty()) return nullptr;
  const std::optional<Dim> rows = element_count(SymShape(shape.begin(), shape.end() - 1));
  return x && rows ? reshape(x, {*rows, shape.back(), Dim::of(1), Dim::of(1)}) : nullptr;
}

nv::ITensor* Network::row_product(nv::ITensor* rows, Extent columns, nv::Weights matrix, nv::ITensor* dequantized,
                                  nv::Weights bias) {
  nv::IConvolutionLayer* layer = rows ? net_.addConvolutionNd(*rows, columns, dims({1, 1}), matrix, bias) : nullptr;
  if (!layer) return nullptr;
  if (dequantized) layer->setInput(1, *dequantized);
  name_layer_weights();
  return out(layer);
}

nv::ITensor* Network::through_fp8(nv::ITensor* x, ValueId id) {
  constexpr float kLargest = 448;
  float largest = 0;
  if (graph_.is_constant(id)) {
    const Tensor& t = graph_.constant(id);
    for (size_t i = 0; i < static_cast<size_t>(t.count()); ++i)
      largest = std::max(largest, static_cast<float>(std::fabs(element(t, i))));
  } else if (const auto it = absmax_.find(graph_.value(id).name); it != absmax_.end()) {
    largest = it->second;
  }
  if (!x || !fp8_type() || !(largest > 0)) return x;
  const float step = largest / kLargest;
  nv::ITensor* scale = floats({}, std::span(&step, 1), nv::DataType::kFLOAT);
  nv::ITensor* small = scale ? out(add_quantize(net_, *x, *scale, -1, *fp8_type())) : nullptr;
  return small ? out(add_dequantize(net_, *small, *scale, -1, x->getType())) : nullptr;
}

nv::ITensor* Network::reduce(nv::ITensor* x, nv::ReduceOperation op, uint32_t axes, bool keep) {
  return x ? out(net_.addReduce(*x, op, axes, keep)) : nullptr;
}

nv::ITensor* Network::softmax(nv::ITensor* x, int axis) {
  if (!x) return nullptr;
  const nv::DataType type = x->getType();
  nv::ITensor* wide = cast(x, nv::DataType::kFLOAT);
  nv::ISoftMaxLayer* layer = wide ? net_.addSoftMax(*wide) : nullptr;
  if (layer) layer->setAxes(1u << axis);
  return cast(out(layer), type);
}

nv::ITensor* Network::concat(std::span<nv::ITensor* const> parts, int axis) {
  if (std::ranges::find(parts, nullptr) != parts.end()) return nullptr;
  nv::IConcatenationLayer* layer = net_.addConcatenation(parts.data(), static_cast<int32_t>(parts.size()));
  if (layer) layer->setAxis(axis);
  return out(layer);
}

}  // namespace vitrail::tensorrt
