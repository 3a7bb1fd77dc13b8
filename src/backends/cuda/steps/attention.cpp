// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/attention.h"

#include "backends/cuda/steps/steps.h"

namespace vitrail::cuda {
namespace {

// The mask broadcasts to [B, H, Sq, Sk]; an absent axis or one of extent 1 has stride 0.
void set_mask_strides(const SymShape& shape, AttentionArgs& args) {
  int64_t* strides[] = {&args.mask_b, &args.mask_h, &args.mask_q};
  int64_t next = args.sk;
  for (size_t i = 3; i-- > 0;) {
    const size_t from_end = 3 - i;  // axis i of four, counted from the last
    if (shape.size() <= from_end) break;
    const Dim d = shape[shape.size() - 1 - from_end];
    *strides[i] = d == Dim::of(1) ? 0 : next;
    next *= d.fixed;
  }
}

AttentionArgs args_of(const Graph& graph, const Node& node, Type type) {
  const ValueId q = node.input(0), k = node.input(1), v = node.input(2);
  AttentionArgs a;
  a.type = type;
  a.heads = static_cast<int>(node.integer("heads", 1));
  a.d = static_cast<int>(node.integer("head_dim", 0));
  a.dv = static_cast<int>(node.integer("v_head_dim", a.d));
  a.sq = static_cast<int>(extent(graph, q, 1).fixed);
  a.sk = static_cast<int>(extent(graph, k, 1).fixed);
  a.scale = node.real("scale", 1);
  a.q_row = extent(graph, q, 2).fixed;
  a.k_row = extent(graph, k, 2).fixed;
  a.v_row = extent(graph, v, 2).fixed;
  a.out_row = int64_t{a.heads} * a.dv;
  if (node.input(3) != kNoValue) set_mask_strides(*graph.value(node.input(3)).shape, a);
  return a;
}

class AttentionStep : public Step {
 public:
  AttentionStep(const Graph& graph, const Node& node) : node_(node), batch_(extent(graph, node.input(0), 0)) {
    args_ = args_of(graph, node, type_of(graph, node.input(0)));
    args_.out_type = type_attribute(node, "out_type", args_.type);
    args_.out_scale = node.real("q_scale", 1);
    args_.out_zero = node.real("q_zero", 0);
  }

  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    AttentionArgs a = args_;
    const int size = type_size(a.type);
    const auto at = [&](size_t i, const char* offset) {
      return b.data<std::byte>(node_.input(i)) + node_.integer(offset, 0) * size;
    };
    a.batch = batch_.at(b.batch);
    a.q = at(0, "q_offset"), a.k = at(1, "k_offset"), a.v = at(2, "v_offset");
    a.mask = b.data<float>(node_.input(3));
    a.out = b.data(node_.outputs[0]);
    AttentionPlan plan;
    VTL_TRY(cuda_status(plan_attention(a, b.device->multiprocessors, b.device->has_wgmma(), &plan), layer_text(node_)));
    return kernel_launch(layer_text(node_), [plan](cudaStream_t stream, bool dependent) {
      return launch_attention(plan, stream, dependent);
    });
  }

 private:
  const Node& node_;
  Dim batch_;
  AttentionArgs args_;
};

}  // namespace

std::string refuse_attention(const Graph& graph, const Node& node, const Target& target) {
  for (size_t i = 0; i < 3; ++i) {
    const ValueId id = node.input(i);
    if (!is_float(graph.value(id).dtype)) return "an operand is not of a floating type";
    if (!extent(graph, id, 1).is_fixed()) return "the number of tokens depends on the batch";
  }
  const int unit = target.precision.half() ? 8 : 4;
  for (const char* offset : {"q_offset", "k_offset", "v_offset"})
    if (node.integer(offset, 0) % unit) return "heads do not start at multiples of 16 bytes";
  if (node.input(3) != kNoValue) {
    const SymShape& mask = *graph.value(node.input(3)).shape;
    if (mask.empty() || mask.size() > 4 || mask.back() != extent(graph, node.input(1), 1))
      return "the mask " + to_string(mask) + " does not span the keys";
    for (size_t i = mask.size() == 4 ? 1 : 0; i < mask.size(); ++i)
      if (!mask[i].is_fixed()) return "the mask's inner extents depend on the batch";
    if (mask.size() == 4 && !mask[0].is_fixed() && mask[0] != extent(graph, node.input(0), 0))
      return "the mask's batch is another";
  }
  return refuse_attention(args_of(graph, node, target.precision.type));
}

std::unique_ptr<Step> make_attention(const Graph& graph, const Node& node) {
  return std::make_unique<AttentionStep>(graph, node);
}

}  // namespace vitrail::cuda
