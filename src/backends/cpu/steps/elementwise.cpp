// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>

#include "backends/cpu/steps/steps.h"
#include "backends/cpu/windows.h"

namespace vitrail::cpu {
namespace {

struct ActivationName {
  std::string_view name;
  Activation activation;
};
constexpr std::array<ActivationName, 8> kActivations{{
    {"none", Activation::kNone},
    {"relu", Activation::kRelu},
    {"gelu", Activation::kGeluErf},
    {"gelu_tanh", Activation::kGeluTanh},
    {"gelu_quick", Activation::kGeluQuick},
    {"silu", Activation::kSilu},
    {"sigmoid", Activation::kSigmoid},
    {"tanh", Activation::kTanh},
}};

std::optional<Activation> unary_of(const Node& node) {
  switch (node.op) {
    case Op::Relu:
      return Activation::kRelu;
    case Op::Gelu: {
      const std::string approximate = node.text("approximate", "none");
      return activation_from_name(approximate == "none" ? "gelu" : "gelu_" + approximate);
    }
    case Op::Sigmoid:
      return Activation::kSigmoid;
    case Op::Tanh:
      return Activation::kTanh;
    case Op::Erf:
      return Activation::kErf;
    case Op::Exp:
      return Activation::kExp;
    case Op::Sqrt:
      return Activation::kSqrt;
    case Op::Abs:
      return Activation::kAbs;
    case Op::Neg:
      return Activation::kNeg;
    case Op::Reciprocal:
      return Activation::kReciprocal;
    default:
      return std::nullopt;
  }
}

class UnaryStep : public Step {
 public:
  UnaryStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        y_(node.outputs[0]),
        count_(*element_count(*graph.value(node.outputs[0]).shape)),
        f_(*unary_of(node)) {}
  Status run(const RunState& s) const override {
    unary(s.kernels, s.pool, f_, s.data(x_), s.data(y_), count_.at(s.batch));
    return {};
  }

 private:
  ValueId x_, y_;
  Dim count_;
  Activation f_;
};

// Bytes of pictures to float32.
class CastStep : public Step {
 public:
  CastStep(const Graph& graph, const Node& node)
      : x_(node.input(0)), y_(node.outputs[0]), count_(*element_count(*graph.value(y_).shape)) {}
  Status run(const RunState& s) const override {
    constexpr int64_t kBlock = 1 << 15;
    const int64_t count = count_.at(s.batch);
    const uint8_t* x = s.data<uint8_t>(x_);
    float* y = s.data(y_);
    s.pool.parallel_for((count + kBlock - 1) / kBlock, [&](int64_t block, int) {
      const int64_t end = std::min(count, (block + 1) * kBlock);
      for (int64_t i = block * kBlock; i < end; ++i) y[i] = static_cast<float>(x[i]);
    });
    return {};
  }

 private:
  ValueId x_, y_;
  Dim count_;
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A bound of a Clip: a constant, or what it is without one.
std::optional<float> bound(const Graph& graph, const Node& node, size_t i, float absent) {
  if (node.input(i) == kNoValue) return absent;
  const bool known = graph.is_constant(node.input(i)) && graph.constant(node.input(i)).dtype() == DType::kF32 &&
                     graph.constant(node.input(i)).count() == 1;
  return known ? std::optional(graph.constant(node.input(i)).as<float>()[0]) : std::nullopt;
}
std::optional<float> least(const Graph& graph, const Node& node) { return bound(graph, node, 1, -kInfinity); }
std::optional<float> most(const Graph& graph, const Node& node) { return bound(graph, node, 2, kInfinity); }

class ClipStep : public Step {
 public:
  ClipStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        y_(node.outputs[0]),
        count_(*element_count(*graph.value(y_).shape)),
        least_(*least(graph, node)),
        most_(*most(graph, node)) {}
  Status run(const RunState& s) const override {
    constexpr int64_t kBlock = 1 << 14;
    const int64_t count = count_.at(s.batch);
    const float* x = s.data(x_);
    float* y = s.data(y_);
    s.pool.parallel_for((count + kBlock - 1) / kBlock, [&](int64_t block, int) {
      const int64_t end = std::min(count, (block + 1) * kBlock);
      for (int64_t i = block * kBlock; i < end; ++i) {
        const float v = x[i] < least_ ? least_ : x[i];
        y[i] = v > most_ ? most_ : v;
      }
    });
    return {};
  }

 private:
  ValueId x_, y_;
  Dim count_;
  float least_, most_;
};

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

// The strides of both operands along the output's axes.
struct BinaryPlan {
  SymShape extents;
  std::vector<Dim> a, b;
};

std::optional<BinaryPlan> plan_binary(const Graph& graph, const Node& node) {
  const SymShape& out = *graph.value(node.outputs[0]).shape;
  auto a = broadcast_strides(*graph.value(node.input(0)).shape, out);
  auto b = broadcast_strides(*graph.value(node.input(1)).shape, out);
  if (!a || !b || !element_count(out)) return std::nullopt;
  return BinaryPlan{out, std::move(*a), std::move(*b)};
}

class BinaryStep : public Step {
 public:
  BinaryStep(const Graph& graph, const Node& node)
      : a_(node.input(0)),
        b_(node.input(1)),
        y_(node.outputs[0]),
        plan_(*plan_binary(graph, node)),
        op_(*binary_of(node.op)) {}
  Status run(const RunState& s) const override {
    const Loop loop(plan_.extents, plan_.a, plan_.b, s.batch);
    std::array<BinaryArgs::Outer, kMaxAxes> outer;
    BinaryArgs args{};
    args.op = op_;
    args.a = s.data(a_);
    args.b = s.data(b_);
    args.out = s.data(y_);
    args.rows = 1;
    for (size_t i = 0; i < loop.rank; ++i) {
      const auto& [extent, a, b] = loop.axes[i];
      if (i + 1 == loop.rank)
        args.cols = extent, args.a_col = a, args.b_col = b;
      else if (i + 2 == loop.rank)
        args.rows = extent, args.a_row = a, args.b_row = b;
      else
        outer[i] = {extent, a, b};
    }
    args.outer = {outer.data(), loop.rank > 2 ? loop.rank - 2 : 0};
    binary(s.kernels, s.pool, args);
    return {};
  }

 private:
  ValueId a_, b_, y_;
  BinaryPlan plan_;
  Binary op_;
};

}  // namespace

std::optional<Activation> activation_from_name(std::string_view name) {
  for (const auto& row : kActivations)
    if (row.name == name) return row.activation;
  return std::nullopt;
}

std::string refuse_cast(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kU8) return "input is not uint8";
  if (graph.value(node.outputs[0]).dtype != DType::kF32) return "output is not float32";
  return element_count(*graph.value(node.outputs[0]).shape) ? "" : "element count is not affine in the batch";
}

std::unique_ptr<Step> make_cast(const Graph& graph, const Node& node) {
  return std::make_unique<CastStep>(graph, node);
}

std::string refuse_unary(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  if (!unary_of(node)) return "no vector form";
  return element_count(*graph.value(node.outputs[0]).shape) ? "" : "element count is not affine in the batch";
}

std::unique_ptr<Step> make_unary(const Graph& graph, const Node& node) {
  return std::make_unique<UnaryStep>(graph, node);
}

std::string refuse_clip(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  if (!least(graph, node) || !most(graph, node)) return "a bound is no constant";
  return element_count(*graph.value(node.outputs[0]).shape) ? "" : "element count is not affine in the batch";
}

std::unique_ptr<Step> make_clip(const Graph& graph, const Node& node) { return std::make_unique<ClipStep>(graph, node); }

std::string refuse_binary(const Graph& graph, const Node& node) {
  for (size_t i : {size_t{0}, size_t{1}})
    if (graph.value(node.input(i)).dtype != DType::kF32) return "an operand is not float32";
  if (graph.value(node.outputs[0]).shape->size() > kMaxAxes) return fmt::format("more than {} axes", kMaxAxes);
  return plan_binary(graph, node) ? "" : "strides are not affine in the batch";
}

std::unique_ptr<Step> make_binary(const Graph& graph, const Node& node) {
  return std::make_unique<BinaryStep>(graph, node);
}

}  // namespace vitrail::cpu
