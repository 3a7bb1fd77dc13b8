// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/network.h"

#include <algorithm>
#include <cstring>

#include "backends/tensorrt/module/inspect.h"
#include "backends/tensorrt/module/layers.h"
#include "core/error.h"

namespace vitrail::tensorrt {
namespace {

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF64;
}

// Numbers that only shapes are made of: whoever reads them knows the shape that comes out.
bool is_shape_arithmetic(const Graph& graph, const Node& node) {
  return std::ranges::all_of(node.outputs, [&](ValueId id) {
    return id == kNoValue || (graph.value(id).integers && graph.value(id).dtype == DType::kI64);
  });
}

}  // namespace

Status Network::build() {
  VTL_TRY(add_inputs());
  for (const Node& node : graph_.nodes) VTL_TRY(add_node(node));
  return mark_outputs();
}

Status Network::add_inputs() {
  for (ValueId id : graph_.inputs) {
    const Value& v = graph_.value(id);
    std::optional<nv::DataType> type = type_of(v.dtype);
    if (!type || !v.shape)
      return unavailable("input '{}' is {}, which TensorRT {} does not take; build with --backend reference",
                         v.name, dtype_name(v.dtype), header_version());
    nv::Dims d{};
    d.nbDims = static_cast<int32_t>(v.shape->size());
    for (size_t i = 0; i < v.shape->size(); ++i)
      d.d[i] = static_cast<Extent>((*v.shape)[i].is_fixed() ? (*v.shape)[i].fixed : -1);
    nv::ITensor* tensor = net_.addInput(v.name.c_str(), *type, d);
    if (!tensor) return explain_failure(logger_, {}, fmt::format("input '{}'", v.name));
    tensors_[static_cast<size_t>(id)] = tensor;
  }
  return {};
}

Status Network::add_node(const Node& node) {
  const auto is_known = [&](ValueId id) {
    return id == kNoValue || tensors_[static_cast<size_t>(id)] || rows_[static_cast<size_t>(id)];
  };
  if (is_shape_arithmetic(graph_, node) || std::ranges::all_of(node.outputs, is_known)) return {};
  node_ = &node;
  part_ = 0;
  refusal_.clear();
  const Emitter emit = emitter_of(node.op);
  const auto refused = [&](std::string_view why) {
    return unavailable("layer '{}' ({}): {}; build with --backend cuda, or cut the model before it",
                       node.name, op_name(node.op), why);
  };
  if (!emit) return refused("the tensorrt backend has no form for this operator");
  for (ValueId id : node.outputs)
    if (id != kNoValue && !graph_.value(id).shape)
      return refused(fmt::format("the shape of '{}' depends on the data", graph_.value(id).name));
  emit(*this);
  if (!refusal_.empty()) return refused(refusal_);
  for (ValueId id : node.outputs)
    if (!is_known(id))
      return explain_failure(logger_, std::span(&node, 1), fmt::format("layer '{}'", node.name));
  return {};
}

Status Network::mark_outputs() {
  for (ValueId id : graph_.outputs) {
    const Value& v = graph_.value(id);
    Node as_output;  // so that what is added here has a name
    as_output.op = Op::Identity;
    as_output.name = "output " + v.name;
    node_ = &as_output;
    part_ = 0;
    refusal_.clear();
    nv::ITensor* tensor = value(id);
    const std::optional<nv::DataType> type = type_of(v.dtype);
    if (!tensor || !type)
      return unavailable("output '{}' is {}, which TensorRT {} cannot make; build with --backend cuda",
                         v.name, dtype_name(v.dtype), header_version());
    // What is an input or a constant, or goes out twice, needs a tensor of its own.
    if (tensor->isNetworkInput() || tensor->isNetworkOutput() || graph_.is_constant(id))
      tensor = out(net_.addIdentity(*tensor));
    if (is_float(v.dtype)) tensor = cast(tensor, *type);
    if (!tensor) return explain_failure(logger_, {}, fmt::format("output '{}'", v.name));
    tensor->setName(v.name.c_str());
    net_.markOutput(*tensor);
#if !VTL_TRT_AT_LEAST(10, 0)
    tensor->setType(*type);
#endif
    node_ = nullptr;
  }
  return {};
}

std::string Network::next_name() {
  const int part = part_++;
  return part == 0 ? node().name : fmt::format("{}|{}", node().name, part);
}

nv::ITensor* Network::out(nv::ILayer* layer) {
  if (!layer) return nullptr;
  layer->setName(next_name().c_str());
  set_origin(*layer, origin_mark(node().name));
  nv::ITensor* tensor = layer->getOutput(0);
  maker_[tensor] = layer;
  return tensor;
}

nv::ITensor* Network::pinned(nv::ITensor* x) {
  const auto it = maker_.find(x);
  if (precision_.keep_float && precision_.weak && it != maker_.end()) pin_to_float(*it->second);
  return x;
}

nv::ITensor* Network::in(size_t i, int rank, std::optional<nv::DataType> type) {
  const ValueId id = node().input(i);
  return id == kNoValue ? nullptr : value(id, rank, type);
}

nv::ITensor* Network::value(ValueId id, int rank, std::optional<nv::DataType> type) {
  if (graph_.is_constant(id)) return constant(id, rank, type);
  nv::ITensor*& known = tensors_[static_cast<size_t>(id)];
  if (nv::ITensor* rows = rows_[static_cast<size_t>(id)]; rows && !known) known = reshape(rows, *graph_.value(id).shape);
  nv::ITensor* tensor = known;
  if (!tensor) return refuse("'{}' is known as numbers for shapes alone", graph_.value(id).name);
  // What comes from outside is computed with in the type of the network.
  if (is_float(graph_.value(id).dtype)) tensor = cast(tensor, type.value_or(compute()));
  return ranked(tensor, rank);
}

bool Network::works_on_rows() const {
  return precision_.weak && (precision_.int8_flag || plugins_.gelu);
}

nv::ITensor* Network::rows_of(ValueId id) {
  nv::ITensor*& known = rows_[static_cast<size_t>(id)];
  if (!known) known = as_rows(value(id), *graph_.value(id).shape);
  return known;
}

const Node* Network::reader(ValueId id, Op op) const {
  const auto it = std::ranges::find_if(graph_.nodes, [&](const Node& n) { return n.op == op && n.input(0) == id; });
  return it == graph_.nodes.end() ? nullptr : &*it;
}

nv::ITensor* Network::constant(ValueId id, int rank, std::optional<nv::DataType> wanted) {
  const Tensor& content = graph_.constant(id);
  Shape shape = content.shape();
  while (static_cast<int>(shape.size()) < rank) shape.insert(shape.begin(), 1);
  std::optional<nv::DataType> type = type_of(content.dtype());
  if (is_float(content.dtype())) type = wanted.value_or(compute());
  if (content.dtype() == DType::kI64) type = nv::DataType::kINT32;  // indices and the like
  if (!type) return refuse("'{}' is {}", graph_.value(id).name, dtype_name(content.dtype()));
  auto& known = constants_[id];
  for (nv::ITensor* t : known)
    if (t->getDimensions().nbDims == static_cast<int>(shape.size()) && t->getType() == *type) return t;
  const nv::Weights weights = keep(content, *type);
  nv::IConstantLayer* layer = net_.addConstant(dims(shape), weights);
  if (!layer) return nullptr;
  const std::string& base = graph_.value(id).name;
  const std::string name = known.empty() ? base : fmt::format("{}|{}", base, known.size());
  layer->setName(name.c_str());
  name_weights(name, shape, weights);
  known.push_back(layer->getOutput(0));
  return layer->getOutput(0);
}

nv::Weights Network::weights(ValueId id) {
  if (id == kNoValue) return {compute(), nullptr, 0};
  const nv::Weights w = keep(graph_.constant(id), compute());
  // Only weights of a layer of the network can be named: see name_layer_weights().
  pending_.push_back({graph_.value(id).name, graph_.constant(id).shape(), w});
  return w;
}

nv::Weights Network::transposed_weights(ValueId id) {
  const Tensor& matrix = graph_.constant(id);
  const size_t rows = static_cast<size_t>(matrix.dim(0)), columns = static_cast<size_t>(matrix.dim(1));
  const std::vector<std::byte> bytes = convert(matrix, compute());
  const size_t width = bytes.size() / (rows * columns);
  std::vector<std::byte>& turned = storage_.emplace_back(bytes.size());
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < columns; ++c)
      std::memcpy(&turned[(c * rows + r) * width], &bytes[(r * columns + c) * width], width);
  const nv::Weights w{compute(), turned.data(), matrix.count()};
  pending_.push_back({graph_.value(id).name, {matrix.dim(1), matrix.dim(0)}, w});
  return w;
}

void Network::name_layer_weights() {
  for (NamedWeights& w : pending_) name_weights(w.name, w.shape, w.weights);
  pending_.clear();
}

void Network::name_weights(const std::string& name, const Shape& shape, nv::Weights weights) {
  if (net_.setWeightsName(weights, name.c_str())) refittable_.push_back({name, shape, weights});
}

nv::Weights Network::keep(const Tensor& tensor, nv::DataType type) {
  if (type_of(tensor.dtype()) == type) return {type, tensor.data(), tensor.count()};
  storage_.push_back(convert(tensor, type));
  return {type, storage_.back().data(), tensor.count()};
}

nv::ITensor* Network::named_constant(const Shape& shape, nv::Weights weights) {
  nv::IConstantLayer* layer = net_.addConstant(dims(shape), weights);
  nv::ITensor* result = out(layer);
  if (layer) name_weights(layer->getName(), shape, weights);
  return result;
}

nv::ITensor* Network::floats(const Shape& shape, std::span<const float> values, nv::DataType type) {
  Tensor tensor(DType::kF32, shape);
  std::ranges::copy(values, tensor.as_mutable<float>().begin());
  storage_.push_back(convert(tensor, type));
  return named_constant(shape, {type, storage_.back().data(), tensor.count()});
}

nv::ITensor* Network::bytes(const Shape& shape, std::span<const int8_t> values) {
  const auto raw = std::as_bytes(values);
  storage_.emplace_back(raw.begin(), raw.end());
  return named_constant(shape, {nv::DataType::kINT8, storage_.back().data(), std::ssize(values)});
}

nv::ITensor* Network::scalar(float value, nv::ITensor* like) {
  if (!like) return nullptr;
  const Shape ones(static_cast<size_t>(like->getDimensions().nbDims), 1);
  return floats(ones, std::span(&value, 1), like->getType());
}

nv::ITensor* Network::integers(std::span<const int64_t> values, nv::DataType type) {
  const auto count = static_cast<int64_t>(values.size());
  storage_.push_back(convert(Tensor::i64({count}, {values.begin(), values.end()}), type));
  return out(net_.addConstant(dims({count}), {type, storage_.back().data(), count}));
}

nv::ITensor* Network::batch_size() {
  if (batch_size_) return batch_size_;
  for (ValueId id : graph_.inputs) {
    const SymShape& shape = *graph_.value(id).shape;
    const auto axis = std::ranges::find(shape, Dim::batch());
    if (axis == shape.end()) continue;
    nv::ITensor* all = out(net_.addShape(*tensors_[static_cast<size_t>(id)]));
    const int64_t at[] = {axis - shape.begin()};
    nv::ITensor* index = integers(at, nv::DataType::kINT32);
    return batch_size_ = all && index ? out(net_.addGather(*all, *index, 0)) : nullptr;
  }
  return refuse("no input has the batch size among its extents");
}

nv::ITensor* Network::extents(const SymShape& shape) {
  std::vector<int64_t> factor, fixed;
  for (const Dim& d : shape) {
    factor.push_back(d.per_batch);
    fixed.push_back(d.fixed);
  }
  nv::ITensor* sum = integers(fixed, kShapeType);
  if (is_fixed(shape)) return sum;
  nv::ITensor* scaled = binary(integers(factor, kShapeType), batch_size(), nv::ElementWiseOperation::kPROD);
  return binary(scaled, sum, nv::ElementWiseOperation::kSUM);
}

nv::Dims dims(const Shape& shape) {
  nv::Dims d{};
  d.nbDims = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size() && i < nv::Dims::MAX_DIMS; ++i) d.d[i] = static_cast<Extent>(shape[i]);
  return d;
}

}  // namespace vitrail::tensorrt
