// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>

#include "backends/cpu/step.h"
#include "backends/reference/evaluate.h"
#include "core/error.h"

namespace vitrail::cpu {
namespace {

// The last resort: the reference backend's loops on copies-free views of the buffers. Allocates its results.
class ReferenceStep : public Step {
 public:
  ReferenceStep(const Graph& graph, const Node& node) : node_(node) {
    for (ValueId id : node.inputs) inputs_.push_back(operand(graph, id));
    for (ValueId id : node.outputs) outputs_.push_back(operand(graph, id));
  }

  Status run(const RunState& s) const override {
    std::vector<Tensor> tensors;
    for (const Operand& o : inputs_)
      tensors.push_back(o.id == kNoValue
                            ? Tensor()
                            : Tensor(o.dtype, at_batch(o.shape, s.batch), s.data<std::byte>(o.id), nullptr));
    std::vector<const Tensor*> pointers;
    for (size_t i = 0; i < tensors.size(); ++i)
      pointers.push_back(inputs_[i].id == kNoValue ? nullptr : &tensors[i]);
    VTL_ASSIGN(const std::vector<Tensor> results, evaluate_node(node_, pointers, &s.pool));
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Operand& o = outputs_[i];
      if (o.id == kNoValue) continue;
      const Shape expected = at_batch(o.shape, s.batch);
      if (i >= results.size() || results[i].shape() != expected || results[i].dtype() != o.dtype)
        return internal_error("layer '{}': the reference made {}, planned was {}", node_.name,
                              i < results.size() ? to_string(results[i].shape()) : "nothing",
                              to_string(expected));
      std::memcpy(s.data<std::byte>(o.id), results[i].data(), results[i].bytes());
    }
    return {};
  }

 private:
  struct Operand {
    ValueId id;
    DType dtype;
    SymShape shape;
  };
  static Operand operand(const Graph& graph, ValueId id) {
    if (id == kNoValue) return {id, DType::kUndefined, {}};
    return {id, graph.value(id).dtype, *graph.value(id).shape};
  }

  Node node_;
  std::vector<Operand> inputs_, outputs_;
};

}  // namespace

std::unique_ptr<Step> make_reference_step(const Graph& graph, const Node& node) {
  return std::make_unique<ReferenceStep>(graph, node);
}

}  // namespace vitrail::cpu
