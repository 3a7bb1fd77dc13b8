// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/elementwise.h"

#include "backends/cuda/steps/steps.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

std::optional<Unary> unary_of(const Node& node) {
  switch (node.op) {
    case Op::Relu:
      return Unary::kRelu;
    case Op::Gelu: {
      const std::string approximate = node.text("approximate", "none");
      if (approximate == "none") return Unary::kGelu;
      return approximate == "tanh" ? std::optional(Unary::kGeluTanh) : std::nullopt;
    }
    case Op::Sigmoid:
      return Unary::kSigmoid;
    case Op::Tanh:
      return Unary::kTanh;
    case Op::Erf:
      return Unary::kErf;
    case Op::Exp:
      return Unary::kExp;
    case Op::Sqrt:
      return Unary::kSqrt;
    case Op::Abs:
      return Unary::kAbs;
    case Op::Neg:
      return Unary::kNeg;
    case Op::Reciprocal:
      return Unary::kReciprocal;
    default:
      return std::nullopt;
  }
}

std::optional<Binary> binary_of(Op op) {
  switch (op) {
    case Op::Add:
      return Binary::kAdd;
    case Op::Sub:
      return Binary::kSub;
    case Op::Mul:
      return Binary::kMul;
    case Op::Div:
      return Binary::kDiv;
    default:
      return std::nullopt;
  }
}

class UnaryStep : public Step {
 public:
  UnaryStep(const Graph& graph, const Node& node)
      : node_(node),
        op_(*unary_of(node)),
        type_(type_of(graph, node.input(0))),
        count_(*element_count(*graph.value(node.outputs[0]).shape)) {}
  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    return kernel_launch(layer_text(node_),
                         [op = op_, x = b.data(node_.input(0)), y = b.data(node_.outputs[0]), type = type_,
                          count = count_.at(b.batch)](cudaStream_t s, bool dependent) {
                           return launch_unary(op, x, y, type, count, s, dependent);
                         });
  }

 private:
  const Node& node_;
  Unary op_;
  Type type_;
  Dim count_;
};

// Strides of an operand that broadcasts to `out`, in elements.
void broadcast_strides(const Shape& operand, const Shape& out, int64_t* strides) {
  int64_t next = 1;
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t at = out.size() - 1 - i;
    const int64_t own = i < operand.size() ? operand[operand.size() - 1 - i] : 1;
    strides[at] = own == 1 ? 0 : next;
    next *= own;
  }
}

class BinaryStep : public Step {
 public:
  BinaryStep(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}
  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    const auto shape = [&](ValueId id) { return at_batch(*graph_.value(id).shape, b.batch); };
    const Shape out = shape(node_.outputs[0]);
    BinaryArgs a;
    a.op = *binary_of(node_.op);
    a.a = b.data(node_.input(0));
    a.b = b.data(node_.input(1));
    a.y = b.data(node_.outputs[0]);
    a.type = type_of(graph_, node_.outputs[0]);
    a.rank = static_cast<int>(out.size());
    std::copy(out.begin(), out.end(), a.extents);
    broadcast_strides(shape(node_.input(0)), out, a.a_strides);
    broadcast_strides(shape(node_.input(1)), out, a.b_strides);
    if (a.rank == 0) a.rank = 1, a.extents[0] = 1;
    return kernel_launch(layer_text(node_),
                         [a](cudaStream_t s, bool dependent) { return launch_binary(a, s, dependent); });
  }

 private:
  const Graph& graph_;
  const Node& node_;
};

}  // namespace

std::string refuse_unary(const Graph& graph, const Node& node, const Target&) {
  if (!is_float(graph.value(node.input(0)).dtype)) return "input is not of a floating type";
  if (!unary_of(node))
    return fmt::format("no kernel for approximate = '{}'", node.text("approximate", "none"));
  return element_count(*graph.value(node.outputs[0]).shape) ? "" : "element count is not affine in the batch";
}
std::unique_ptr<Step> make_unary(const Graph& graph, const Node& node) {
  return std::make_unique<UnaryStep>(graph, node);
}

std::string refuse_binary(const Graph& graph, const Node& node, const Target&) {
  for (size_t i : {size_t{0}, size_t{1}})
    if (!is_float(graph.value(node.input(i)).dtype)) return "an operand is not of a floating type";
  return graph.value(node.outputs[0]).shape->size() > kMaxRank ? fmt::format("more than {} axes", kMaxRank)
                                                               : "";
}
std::unique_ptr<Step> make_binary(const Graph& graph, const Node& node) {
  return std::make_unique<BinaryStep>(graph, node);
}

}  // namespace vitrail::cuda
