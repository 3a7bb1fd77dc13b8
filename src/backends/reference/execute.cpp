// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/execute.h"

#include <algorithm>

#include "backends/reference/evaluate.h"
#include "core/cancel.h"
#include "core/clock.h"
#include "core/error.h"

namespace vitrail::reference {
namespace {

// The values that are alive, and who wants to hear of a new one.
class Run {
 public:
  Run(const Graph& graph, const OutputSink& sink, Observer* observer)
      : graph_(graph), sink_(sink), observer_(observer), live_(graph.values.size()) {}

  const Tensor* find(ValueId id) const {
    if (id == kNoValue) return nullptr;
    return graph_.is_constant(id) ? &graph_.constant(id) : &live_[static_cast<size_t>(id)];
  }
  void keep(ValueId id, const Tensor& content) { live_[static_cast<size_t>(id)] = content; }
  void free(ValueId id) { live_[static_cast<size_t>(id)] = Tensor(); }

  Status hand_out(ValueId id, const Tensor& content) const {
    for (size_t i = 0; i < graph_.outputs.size(); ++i)
      if (graph_.outputs[i] == id) VTL_TRY(sink_(i, content));
    return Status();
  }

  Status evaluate(size_t index, ThreadPool* pool) {
    const Node& node = graph_.nodes[index];
    const int64_t start = steady_nanoseconds();
    std::vector<const Tensor*> inputs;
    for (ValueId id : node.inputs) inputs.push_back(find(id));
    VTL_ASSIGN(const std::vector<Tensor> outputs, evaluate_node(node, inputs, pool));
    if (observer_ && observer_->wants_times())
      observer_->on_layer(index, static_cast<double>(steady_nanoseconds() - start) / 1e3);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNoValue) continue;
      if (i >= outputs.size())
        return bad_input("layer '{}' ({}) has no output {}", node.name, op_name(node.op), i);
      keep(node.outputs[i], outputs[i]);
      if (observer_ && observer_->wants_values()) observer_->on_value(node.outputs[i], outputs[i].view());
      VTL_TRY(hand_out(node.outputs[i], outputs[i]));
    }
    return Status();
  }

 private:
  const Graph& graph_;
  const OutputSink& sink_;
  Observer* observer_;
  std::vector<Tensor> live_;
};

}  // namespace

std::vector<int> last_readers(const Graph& graph) {
  const UseMap uses(graph);
  std::vector<int> last(graph.values.size());
  for (size_t i = 0; i < last.size(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const auto consumers = uses.consumers(id);
    last[i] = consumers.empty() ? uses.producer(id) : *std::max_element(consumers.begin(), consumers.end());
  }
  return last;
}

Status execute(const Graph& graph, const std::vector<int>& last_reader, const std::vector<Tensor>& inputs,
               const OutputSink& sink, Observer* observer, ThreadPool* pool) {
  Run run(graph, sink, observer);
  for (size_t i = 0; i < graph.inputs.size(); ++i) run.keep(graph.inputs[i], inputs[i]);
  // Outputs that no node makes are inputs or constants.
  for (ValueId id : graph.inputs) VTL_TRY(run.hand_out(id, *run.find(id)));
  for (size_t i = 0; i < graph.values.size(); ++i)
    if (graph.values[i].constant) VTL_TRY(run.hand_out(static_cast<ValueId>(i), *graph.values[i].constant));
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (cancel::requested()) return cancelled();
    VTL_TRY(run.evaluate(n, pool));
    for (const auto* ids : {&graph.nodes[n].inputs, &graph.nodes[n].outputs})
      for (ValueId id : *ids)
        if (id != kNoValue && last_reader[static_cast<size_t>(id)] <= static_cast<int>(n)) run.free(id);
  }
  return Status();
}

}  // namespace vitrail::reference
