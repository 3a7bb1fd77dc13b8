// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/rows.h"

#include "backends/cuda/steps/steps.h"

namespace vitrail::cuda {
namespace {

class LayerNormStep : public Step {
 public:
  LayerNormStep(const Graph& graph, const Node& node) : node_(node), rows_(*rows_of(graph, node.input(0))) {
    args_.columns = static_cast<int>(extent(graph, node.input(0), -1).fixed);
    args_.epsilon = node.real("epsilon", 1e-5f);
    args_.type = type_of(graph, node.input(0));
    args_.out = type_attribute(node, "out_type", args_.type);
    args_.out_scale = node.real("q_scale", 1);
    args_.out_zero = node.real("q_zero", 0);
  }
  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    LayerNormArgs a = args_;
    a.x = b.data(node_.input(0));
    a.gamma = b.data<float>(node_.input(1));
    a.beta = b.data<float>(node_.input(2));
    a.y = b.data(node_.outputs[0]);
    a.rows = rows_.at(b.batch);
    return kernel_launch(layer_text(node_),
                         [a](cudaStream_t s, bool dependent) { return launch_layer_norm(a, s, dependent); });
  }

 private:
  const Node& node_;
  Dim rows_;
  LayerNormArgs args_;
};

// RowStats and Softmax: rows in, rows out.
class RowsStep : public Step {
 public:
  RowsStep(const Graph& graph, const Node& node)
      : node_(node),
        rows_(*rows_of(graph, node.input(0))),
        columns_(static_cast<int>(extent(graph, node.input(0), -1).fixed)),
        type_(type_of(graph, node.input(0))) {}
  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    const auto launch = [x = b.data(node_.input(0)), y = b.data(node_.outputs[0]), rows = rows_.at(b.batch),
                         columns = columns_, type = type_,
                         stats = node_.op == Op::RowStats](cudaStream_t s, bool dependent) {
      return stats ? launch_row_stats(x, type, rows, columns, static_cast<float*>(y), s, dependent)
                   : launch_softmax(x, y, type, rows, columns, s, dependent);
    };
    return kernel_launch(layer_text(node_), launch);
  }

 private:
  const Node& node_;
  Dim rows_;
  int columns_;
  Type type_;
};

class MeanStep : public Step {
 public:
  MeanStep(const Graph& graph, const Node& node) : node_(node), type_(type_of(graph, node.input(0))) {
    const SymShape& shape = *graph.value(node.input(0)).shape;
    const auto axis = static_cast<std::ptrdiff_t>(*mean_axis(graph, node));
    outer_ = *element_count(SymShape(shape.begin(), shape.begin() + axis));
    count_ = shape[static_cast<size_t>(axis)].fixed;
    inner_ = element_count(SymShape(shape.begin() + axis + 1, shape.end()))->fixed;
  }
  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    return kernel_launch(layer_text(node_), [x = b.data(node_.input(0)), y = b.data(node_.outputs[0]),
                                             type = type_, outer = outer_.at(b.batch), count = count_,
                                             inner = inner_](cudaStream_t s, bool dependent) {
      return launch_mean(x, y, type, outer, count, inner, s, dependent);
    });
  }

 private:
  const Node& node_;
  Type type_;
  Dim outer_;
  int64_t count_ = 0, inner_ = 0;
};

std::string refuse_rows(const Graph& graph, const Node& node) {
  const int64_t axis = node.integer("axis", -1);
  const auto rank = static_cast<int64_t>(graph.value(node.input(0)).shape->size());
  if (!is_float(graph.value(node.input(0)).dtype)) return "input is not of a floating type";
  if (rank == 0 || (axis != -1 && axis != rank - 1)) return "not over the last axis";
  if (!rows_of(graph, node.input(0))) return "the number of rows is not affine in the batch";
  return extent(graph, node.input(0), -1).is_fixed() ? "" : "the last extent depends on the batch";
}

}  // namespace

std::string refuse_layer_norm(const Graph& graph, const Node& node, const Target&) {
  const std::string reason = refuse_rows(graph, node);
  if (!reason.empty()) return reason;
  const Dim columns = extent(graph, node.input(0), -1);
  for (size_t i = 1; i < 3; ++i)
    if (node.input(i) != kNoValue && *graph.value(node.input(i)).shape != SymShape{columns})
      return "scale or bias is not one row";
  return "";
}
std::unique_ptr<Step> make_layer_norm(const Graph& graph, const Node& node) {
  return std::make_unique<LayerNormStep>(graph, node);
}

std::string refuse_row_stats(const Graph& graph, const Node& node, const Target&) {
  return refuse_rows(graph, node);
}
std::unique_ptr<Step> make_row_stats(const Graph& graph, const Node& node) {
  return std::make_unique<RowsStep>(graph, node);
}

std::string refuse_softmax(const Graph& graph, const Node& node, const Target&) {
  return refuse_rows(graph, node);
}
std::unique_ptr<Step> make_softmax(const Graph& graph, const Node& node) {
  return std::make_unique<RowsStep>(graph, node);
}

std::string refuse_mean(const Graph& graph, const Node& node, const Target&) {
  if (!is_float(graph.value(node.input(0)).dtype)) return "input is not of a floating type";
  const auto axis = mean_axis(graph, node);
  if (!axis) return "not over one known axis";
  const SymShape& shape = *graph.value(node.input(0)).shape;
  for (size_t i = *axis; i < shape.size(); ++i)
    if (!shape[i].is_fixed()) return "extents from the axis on depend on the batch";
  if (!element_count(SymShape(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(*axis))))
    return "the outer extents are not affine in the batch";
  return "";
}
std::unique_ptr<Step> make_mean(const Graph& graph, const Node& node) {
  return std::make_unique<MeanStep>(graph, node);
}

}  // namespace vitrail::cuda
