// SPDX-License-Identifier: Apache-2.0
#include "passes/fold_batch_norm.h"

#include <cmath>

#include "graph/edit.h"
#include "passes/match.h"

namespace vitrail {
namespace {

bool constant_f32(const Graph& graph, ValueId id) {
  return graph.is_constant(id) && graph.constant(id).dtype() == DType::kF32;
}

}  // namespace

int fold_batch_norm(Graph& graph) {
  int folded = 0;
  const Matcher match(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node norm = graph.nodes[i];
    if (norm.op != Op::BatchNormalization || !match.single_use(norm.input(0))) continue;
    const Node* made_by = match.producer(norm.input(0));
    if (!made_by || (made_by->op != Op::Conv && made_by->op != Op::ConvTranspose)) continue;
    const Node conv = *made_by;
    const bool transposed = conv.op == Op::ConvTranspose;
    bool constant = constant_f32(graph, conv.input(1)) &&
                    (conv.input(2) == kNoValue || constant_f32(graph, conv.input(2)));
    for (size_t k = 1; k < 5; ++k) constant &= constant_f32(graph, norm.input(k));
    if (!constant || (transposed && conv.integer("group", 1) != 1)) continue;

    Tensor weight = graph.constant(conv.input(1)).clone();
    const int64_t channels = weight.dim(transposed ? 1 : 0);
    const auto parameter = [&](size_t k) { return graph.constant(norm.input(k)).as<float>(); };
    if (static_cast<int64_t>(parameter(1).size()) != channels) continue;
    std::vector<double> scale(static_cast<size_t>(channels));
    Tensor bias(DType::kF32, {channels});
    for (size_t c = 0; c < scale.size(); ++c) {
      scale[c] = parameter(1)[c] / std::sqrt(double{parameter(4)[c]} + norm.real("epsilon", 1e-5f));
      const double b = conv.input(2) == kNoValue ? 0 : graph.constant(conv.input(2)).as<float>()[c];
      bias.as_mutable<float>()[c] = static_cast<float>((b - parameter(3)[c]) * scale[c] + parameter(2)[c]);
    }
    // Conv keeps its output channels in axis 0, ConvTranspose in axis 1.
    const int64_t outer = transposed ? weight.dim(0) : 1;
    const int64_t inner = weight.count() / (outer * channels);
    auto w = weight.as_mutable<float>();
    for (size_t j = 0; j < w.size(); ++j)
      w[j] = static_cast<float>(w[j] * scale[j / static_cast<size_t>(inner) % static_cast<size_t>(channels)]);

    const ValueId new_weight = add_weight(graph, conv.name + ".normalised_weight", std::move(weight));
    const ValueId new_bias = add_weight(graph, conv.name + ".normalised_bias", std::move(bias));
    Node& node = graph.nodes[i];
    node.op = conv.op;
    node.attributes = conv.attributes;
    node.inputs = {conv.input(0), new_weight, new_bias};
    ++folded;
  }
  return folded;
}

}  // namespace vitrail
