// SPDX-License-Identifier: Apache-2.0
// Cast between floating types, QuantizeLinear and DequantizeLinear by one scale.
#include "backends/cuda/kernels/elementwise.h"
#include "backends/cuda/steps/steps.h"

namespace vitrail::cuda {
namespace {

// Attributes "from" and "to" where the graph's type does not say (E4M3); "q_scale", "q_zero" as
// launch_convert's.
class ConvertStep : public Step {
 public:
  ConvertStep(const Graph& graph, const Node& node)
      : node_(node),
        from_(type_attribute(node, "from", type_of(graph, node.input(0)))),
        to_(type_attribute(node, "out_type", type_of(graph, node.outputs[0]))),
        count_(*element_count(*graph.value(node.outputs[0]).shape)) {}
  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    return kernel_launch(layer_text(node_),
                         [x = b.data(node_.input(0)), y = b.data(node_.outputs[0]), from = from_, to = to_,
                          count = count_.at(b.batch), scale = node_.real("q_scale", 1),
                          zero = node_.real("q_zero", 0)](cudaStream_t s, bool dependent) {
                           return launch_convert(x, from, y, to, count, scale, zero, s, dependent);
                         });
  }

 private:
  const Node& node_;
  Type from_, to_;
  Dim count_;
};

// One positive constant scale and one constant zero point of 8 bits or none.
std::string refuse_parameters(const Graph& graph, const Node& node, DType integers) {
  if (integers != DType::kI8 && integers != DType::kU8) return "integers of other than 8 bits";
  for (size_t i = 1; i < 3; ++i)
    if (node.input(i) != kNoValue &&
        (!graph.is_constant(node.input(i)) || graph.constant(node.input(i)).count() != 1))
      return "scale or zero point is not one constant";
  return "";
}

}  // namespace

std::string refuse_quantize(const Graph& graph, const Node& node, const Target&) {
  if (!is_float(graph.value(node.input(0)).dtype)) return "input is not of a floating type";
  if (!element_count(*graph.value(node.input(0)).shape)) return "element count is not affine in the batch";
  return refuse_parameters(graph, node, graph.value(node.outputs[0]).dtype);
}
std::unique_ptr<Step> make_quantize(const Graph& graph, const Node& node) {
  return make_convert(graph, node);
}

std::string refuse_dequantize(const Graph& graph, const Node& node, const Target&) {
  if (!element_count(*graph.value(node.input(0)).shape)) return "element count is not affine in the batch";
  return refuse_parameters(graph, node, graph.value(node.input(0)).dtype);
}
std::unique_ptr<Step> make_dequantize(const Graph& graph, const Node& node) {
  return make_convert(graph, node);
}

std::string refuse_convert(const Graph& graph, const Node& node, const Target&) {
  for (ValueId id : {node.input(0), node.outputs[0]})
    if (!is_float(graph.value(id).dtype)) return "not between floating types";
  return element_count(*graph.value(node.outputs[0]).shape) ? "" : "element count is not affine in the batch";
}
std::unique_ptr<Step> make_convert(const Graph& graph, const Node& node) {
  return std::make_unique<ConvertStep>(graph, node);
}

}  // namespace vitrail::cuda
