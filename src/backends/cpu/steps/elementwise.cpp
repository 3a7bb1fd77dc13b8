// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "backends/cpu/steps/steps.h"

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

// How an operand meets the output seen as [outer, rows, cols]: it covers the last `suffix` axes in full and
// broadcasts over the others, or has one element for each of the first axes ([N, S, 1] against [N, S, C]).
struct Broadcast {
  bool whole = false, scalar = false;
  bool column = false;  // all axes but the last, which is 1
  size_t suffix = 0;    // trailing axes covered
};

std::optional<Broadcast> broadcast_of(const SymShape& operand, const SymShape& out) {
  Broadcast b;
  SymShape padded(out.size(), Dim::of(1));
  std::copy(operand.rbegin(), operand.rend(), padded.rbegin());
  if (padded == out) {
    b.whole = true;
    return b;
  }
  size_t suffix = 0;
  while (suffix < out.size() && padded[out.size() - 1 - suffix] == out[out.size() - 1 - suffix]) ++suffix;
  bool ones = true;
  for (size_t i = 0; i + suffix < out.size(); ++i) ones &= padded[i] == Dim::of(1);
  if (ones) {
    b.suffix = suffix;
    b.scalar = suffix == 0;
    return b;
  }
  b.column = padded.back() == Dim::of(1) && std::equal(padded.begin(), padded.end() - 1, out.begin());
  return b.column ? std::optional(b) : std::nullopt;
}

// The output as rows × cols so that each operand is whole, a row, a column or a scalar of it.
struct BinaryPlan {
  Dim rows, cols;
  int64_t a_row_on, a_col, b_row_on, b_col;  // *_row_on: 1 when the operand advances with the row
};

std::optional<BinaryPlan> plan_binary(const Graph& graph, const Node& node) {
  const SymShape& out = *graph.value(node.outputs[0]).shape;
  const auto a = broadcast_of(*graph.value(node.input(0)).shape, out);
  const auto b = broadcast_of(*graph.value(node.input(1)).shape, out);
  if (!a || !b) return std::nullopt;
  size_t suffix = out.size();
  for (const auto* x : {&*a, &*b}) {
    if (x->column) suffix = std::min<size_t>(suffix, 1);
    if (x->suffix > 0) suffix = std::min(suffix, x->suffix);
  }
  for (const auto* x : {&*a, &*b})
    if ((x->suffix > 0 && x->suffix != suffix) || (x->column && suffix != 1)) return std::nullopt;
  if (out.empty()) suffix = 0;
  const auto rows = element_count(SymShape(out.begin(), out.end() - static_cast<std::ptrdiff_t>(suffix)));
  const auto cols = element_count(SymShape(out.end() - static_cast<std::ptrdiff_t>(suffix), out.end()));
  if (!rows || !cols) return std::nullopt;
  const auto advances = [](const Broadcast& x) { return int64_t{x.whole || x.column}; };
  const auto spans = [](const Broadcast& x) { return int64_t{x.whole || x.suffix > 0}; };
  return BinaryPlan{*rows, *cols, advances(*a), spans(*a), advances(*b), spans(*b)};
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
    const int64_t cols = plan_.cols.at(s.batch);
    BinaryArgs args{};
    args.op = op_;
    args.a = s.data(a_);
    args.b = s.data(b_);
    args.a_col = plan_.a_col;
    args.b_col = plan_.b_col;
    args.a_row = plan_.a_row_on * (plan_.a_col ? cols : 1);
    args.b_row = plan_.b_row_on * (plan_.b_col ? cols : 1);
    args.out = s.data(y_);
    args.rows = plan_.rows.at(s.batch);
    args.cols = cols;
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

std::string refuse_binary(const Graph& graph, const Node& node) {
  for (size_t i : {size_t{0}, size_t{1}})
    if (graph.value(node.input(i)).dtype != DType::kF32) return "an operand is not float32";
  return plan_binary(graph, node) ? ""
                                  : fmt::format("broadcast of {} and {} is not by rows, columns or scalars",
                                                to_string(*graph.value(node.input(0)).shape),
                                                to_string(*graph.value(node.input(1)).shape));
}

std::unique_ptr<Step> make_binary(const Graph& graph, const Node& node) {
  return std::make_unique<BinaryStep>(graph, node);
}

}  // namespace vitrail::cpu
