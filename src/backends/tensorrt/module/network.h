// SPDX-License-Identifier: Apache-2.0
// Vitrail's fused graph as a TensorRT network: one method of the network for what several operators need, one
// function for each family of operators (layers.h).
#pragma once

#include <fmt/format.h>

#include <deque>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backends/tensorrt/module/compat.h"
#include "backends/tensorrt/module/logger.h"
#include "backends/tensorrt/module/plugin_layers.h"
#include "graph/graph.h"

namespace vitrail::tensorrt {

// Weights under the name that a refit gives them, in the type that the network wants. The content lives as
// long as the network.
struct NamedWeights {
  std::string name;
  Shape shape;
  nv::Weights weights;
};

class Network {
 public:
  // `absmax`: the largest |value| of each value by name, for fp8.
  Network(nv::INetworkDefinition& network, const Graph& graph, const Precision& precision,
          const Logger& logger, const std::map<std::string, float>& absmax, PluginUse plugins)
      : net_(network),
        graph_(graph),
        precision_(precision),
        logger_(logger),
        absmax_(absmax),
        plugins_(plugins),
        tensors_(graph.values.size()),
        rows_(graph.values.size()) {}

  // All of the graph: inputs, layers, outputs. kUnavailable names a layer that cannot be said to TensorRT and
  // why.
  Status build();

  // -- for the emitters of layers.h. Tensors are null after a failure, and every method passes null on.
  const Graph& graph() const { return graph_; }
  const Node& node() const { return *node_; }
  const Precision& precision() const { return precision_; }
  const PluginUse& plugins() const { return plugins_; }
  nv::INetworkDefinition& raw() { return net_; }
  nv::DataType compute() const { return precision_.compute; }

  const Value& input_value(size_t i) const { return graph_.value(node().input(i)); }
  const SymShape& input_shape(size_t i) const { return *input_value(i).shape; }
  const SymShape& output_shape(size_t i = 0) const { return *graph_.value(node().outputs[i]).shape; }
  bool has(size_t i) const { return node().input(i) != kNoValue; }

  // Input i of the layer, of at least `rank` axes (ones in front). Floating values come in the type of the
  // computation unless another is asked for.
  nv::ITensor* in(size_t i, int rank = -1, std::optional<nv::DataType> type = {});
  nv::ITensor* value(ValueId id, int rank = -1, std::optional<nv::DataType> type = {});
  void set(size_t output, nv::ITensor* tensor) { set_value(node().outputs.at(output), tensor); }
  // Also for a node that comes later: it is not emitted then.
  void set_value(ValueId id, nv::ITensor* tensor) { tensors_[static_cast<size_t>(id)] = tensor; }

  // Before 10 TensorRT fuses a bias into convolutions alone, so a product of rows is one of 1×1 there. What computes
  // row by row then hands [rows, columns, 1, 1] on: the same memory in every layout that convolutions want.
  bool works_on_rows() const;
  // Input i in that form; null where its number of rows does not grow evenly with the batch.
  nv::ITensor* rows(size_t i) { return rows_of(node().input(i)); }
  nv::ITensor* rows_of(ValueId id);
  bool are_rows(size_t i) const { return rows_[static_cast<size_t>(node().input(i))]; }
  void set_rows(size_t output, nv::ITensor* rows) { set_rows_of(node().outputs.at(output), rows); }
  void set_rows_of(ValueId id, nv::ITensor* rows) { rows_[static_cast<size_t>(id)] = rows; }
  // The first layer of this operator that reads the value as its first input; null when there is none.
  const Node* reader(ValueId id, Op op) const;
  // While it lives, layers are named after another node.
  class Naming {
   public:
    Naming(Network& network, const Node& node)
        : network_(network), node_(std::exchange(network.node_, &node)), part_(std::exchange(network.part_, 0)) {}
    ~Naming() { network_.node_ = node_, network_.part_ = part_; }
    Naming(const Naming&) = delete;
    Naming& operator=(const Naming&) = delete;

   private:
    Network& network_;
    const Node* node_;
    int part_;
  };
  // Weights of a layer that takes no tensor for them (convolutions), in the type of the computation; to be
  // named for refits once the layer is there.
  nv::Weights weights(ValueId id);
  nv::Weights transposed_weights(ValueId id);  // of a matrix
  void name_layer_weights();

  nv::ITensor* floats(const Shape& shape, std::span<const float> values, nv::DataType type);
  nv::ITensor* bytes(const Shape& shape, std::span<const int8_t> values);
  nv::ITensor* scalar(float value, nv::ITensor* like);  // of the rank and type of `like`
  nv::ITensor* integers(std::span<const int64_t> values, nv::DataType type);  // a vector
  nv::ITensor* extents(const SymShape& shape);                                // a shape tensor

  nv::ITensor* cast(nv::ITensor* x, nv::DataType to);
  nv::ITensor* ranked(nv::ITensor* x, int rank);  // ones in front
  nv::ITensor* binary(nv::ITensor* a, nv::ITensor* b, nv::ElementWiseOperation op);
  nv::ITensor* unary(nv::ITensor* x, nv::UnaryOperation op);
  nv::ITensor* activation(nv::ITensor* x, nv::ActivationType type);
  nv::ITensor* activation(nv::ITensor* x, std::string_view name);  // of Linear's attribute
  nv::ITensor* reshape(nv::ITensor* x, const SymShape& shape);
  nv::ITensor* transpose(nv::ITensor* x, std::span<const int64_t> order);
  // start and stride by axis; `size` as the result's shape.
  nv::ITensor* slice(nv::ITensor* x, const Shape& start, const SymShape& size, const Shape& stride);
  nv::ITensor* matmul(nv::ITensor* a, nv::ITensor* b, bool transpose_a = false, bool transpose_b = false);
  nv::ITensor* as_rows(nv::ITensor* x, const SymShape& shape);  // see works_on_rows()
  // Rows by [columns,K] plus a bias [columns], which may be empty. The matrix: weights, or where they are empty a
  // dequantized tensor [columns,K,1,1].
  nv::ITensor* row_product(nv::ITensor* rows, Extent columns, nv::Weights matrix, nv::ITensor* dequantized, nv::Weights bias);
  nv::ITensor* reduce(nv::ITensor* x, nv::ReduceOperation op, uint32_t axes, bool keep);
  nv::ITensor* softmax(nv::ITensor* x, int axis);  // in float32
  nv::ITensor* concat(std::span<nv::ITensor* const> parts, int axis);

  // Through E4M3 and back, so that a product in between runs in it; x itself where the range of `id` is not
  // known.
  nv::ITensor* through_fp8(nv::ITensor* x, ValueId id);

  // Names a new layer after the node and returns its output; null when there is no layer.
  nv::ITensor* out(nv::ILayer* layer);
  std::string next_name();
  // In a weakly typed network: keeps the layer that made x in float32.
  nv::ITensor* pinned(nv::ITensor* x);
  // Why this layer cannot be: null, and build() reports it.
  template <class... Args>
  nv::ITensor* refuse(fmt::format_string<Args...> format, Args&&... args) {
    if (refusal_.empty()) refusal_ = fmt::format(format, std::forward<Args>(args)...);
    return nullptr;
  }

  const std::vector<NamedWeights>& refittable() const { return refittable_; }

 private:
  Status add_inputs();
  Status add_node(const Node& node);
  Status mark_outputs();
  nv::ITensor* constant(ValueId id, int rank, std::optional<nv::DataType> type);
  nv::ITensor* named_constant(const Shape& shape, nv::Weights weights);
  nv::Weights keep(const Tensor& tensor, nv::DataType type);
  void name_weights(const std::string& name, const Shape& shape, nv::Weights weights);
  nv::ITensor* batch_size();

  nv::INetworkDefinition& net_;
  const Graph& graph_;
  Precision precision_;
  const Logger& logger_;
  const std::map<std::string, float>& absmax_;
  PluginUse plugins_;
  std::vector<nv::ITensor*> tensors_, rows_;  // by ValueId; one is made of the other when it is asked for
  std::unordered_map<ValueId, std::vector<nv::ITensor*>> constants_;
  std::deque<std::vector<std::byte>> storage_;  // weights must live until the build ends
  std::unordered_map<nv::ITensor*, nv::ILayer*> maker_;
  std::vector<NamedWeights> refittable_, pending_;
  nv::ITensor* batch_size_ = nullptr;
  const Node* node_ = nullptr;
  int part_ = 0;
  std::string refusal_;
};

nv::Dims dims(const Shape& shape);
std::vector<std::byte> convert(const Tensor& tensor,
                               nv::DataType type);  // floats to floats, integers to integers

}  // namespace vitrail::tensorrt
