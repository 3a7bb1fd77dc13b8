// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "backends/cpu/quantize.h"
#include "backends/cpu/steps/steps.h"

namespace vitrail::cpu {
namespace {

bool is_last_axis(const Graph& graph, const Node& node) {
  const int64_t axis = node.integer("axis", -1);
  const auto rank = static_cast<int64_t>(graph.value(node.input(0)).shape->size());
  return axis == -1 || axis == rank - 1;
}

class LayerNormStep : public Step {
 public:
  LayerNormStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        scale_(node.input(1)),
        bias_(node.input(2)),
        y_(node.outputs[0]),
        rows_(*rows_of(graph, x_)),
        cols_(extent(graph, x_, -1).fixed),
        epsilon_(node.real("epsilon", 1e-5f)),
        bytes_(output_bytes(graph, node)) {}
  Status run(const RunState& s) const override {
    if (bytes_) {
      layer_norm_bytes(s.kernels, s.pool, s.data(x_), s.data(scale_), s.data(bias_), epsilon_,
                       rows_.at(s.batch), cols_, *bytes_, s.data<uint8_t>(y_));
      return {};
    }
    layer_norm(s.kernels, s.pool, s.data(x_), s.data(scale_), s.data(bias_), epsilon_, rows_.at(s.batch),
               cols_, s.data(y_));
    return {};
  }

 private:
  ValueId x_, scale_, bias_, y_;
  Dim rows_;
  int64_t cols_;
  float epsilon_;
  std::optional<ByteScale> bytes_;
};

class SoftmaxStep : public Step {
 public:
  SoftmaxStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        y_(node.outputs[0]),
        rows_(*rows_of(graph, x_)),
        cols_(extent(graph, x_, -1).fixed) {}
  Status run(const RunState& s) const override {
    softmax(s.kernels, s.pool, s.data(x_), rows_.at(s.batch), cols_, s.data(y_));
    return {};
  }

 private:
  ValueId x_, y_;
  Dim rows_;
  int64_t cols_;
};

std::string refuse_rows(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  if (!is_last_axis(graph, node)) return "not over the last axis";
  if (!rows_of(graph, node.input(0))) return "the number of rows is not affine in the batch";
  return extent(graph, node.input(0), -1).is_fixed() ? "" : "the last extent depends on the batch";
}

}  // namespace

std::string refuse_layer_norm(const Graph& graph, const Node& node) {
  const std::string reason = refuse_rows(graph, node);
  if (!reason.empty()) return reason;
  const Dim cols = extent(graph, node.input(0), -1);
  for (size_t i = 1; i < 3; ++i)
    if (node.input(i) != kNoValue && *graph.value(node.input(i)).shape != SymShape{cols})
      return "scale or bias is not one row";
  return refuse_output(graph, node);
}

std::unique_ptr<Step> make_layer_norm(const Graph& graph, const Node& node) {
  return std::make_unique<LayerNormStep>(graph, node);
}

std::string refuse_softmax(const Graph& graph, const Node& node) { return refuse_rows(graph, node); }

std::unique_ptr<Step> make_softmax(const Graph& graph, const Node& node) {
  return std::make_unique<SoftmaxStep>(graph, node);
}

}  // namespace vitrail::cpu
