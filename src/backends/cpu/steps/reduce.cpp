// SPDX-License-Identifier: Apache-2.0
// Reductions over axes that lie side by side, and BatchNormalization.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/steps/steps.h"

namespace vitrail::cpu {
namespace {

// x seen as [outer, length, inner], of which the middle goes away.
struct Reduction {
  Dim outer;
  int64_t length = 1, inner = 1;
};

// The axes that go away; nothing when they are not known.
std::optional<std::vector<bool>> reduced_axes(const Graph& graph, const Node& node) {
  const size_t rank = graph.value(node.input(0)).shape->size();
  std::vector<bool> axes(rank, false);
  if (node.op == Op::GlobalAveragePool) {
    std::fill(axes.begin() + 2, axes.end(), true);
    return axes;
  }
  const ValueId list = node.input(1);
  if (list == kNoValue || !graph.value(list).integers || graph.value(list).integers->empty()) return std::nullopt;
  for (const Dim axis : *graph.value(list).integers) {
    if (!axis.is_fixed()) return std::nullopt;
    axes[static_cast<size_t>(axis.fixed < 0 ? axis.fixed + static_cast<int64_t>(rank) : axis.fixed)] = true;
  }
  return axes;
}

std::optional<Reduction> plan_reduce(const Graph& graph, const Node& node, std::string& why_not) {
  const SymShape& shape = *graph.value(node.input(0)).shape;
  const auto axes = reduced_axes(graph, node);
  why_not = "its axes are not known";
  if (!axes) return std::nullopt;
  Reduction plan;
  Dim outer = Dim::of(1);
  enum { kBefore, kWithin, kBehind } at = kBefore;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == Dim::of(1)) continue;
    if ((*axes)[i] && at == kBefore) at = kWithin;
    if (!(*axes)[i] && at == kWithin) at = kBehind;
    why_not = "its axes do not lie side by side";
    if ((*axes)[i] && at == kBehind) return std::nullopt;
    if (at == kBefore) {
      const auto product = multiply(outer, shape[i]);
      why_not = "the outer extents are not affine in the batch";
      if (!product) return std::nullopt;
      outer = *product;
      continue;
    }
    why_not = "extents from its first axis on depend on the batch";
    if (!shape[i].is_fixed()) return std::nullopt;
    (at == kWithin ? plan.length : plan.inner) *= shape[i].fixed;
  }
  plan.outer = outer;
  why_not.clear();
  return plan;
}

// NaN wins. A comparison and a test that is nearly always false: no branch that the data decides.
constexpr auto largest = [](float a, float b) {
  const float more = b > a ? b : a;
  return b != b ? b : more;
};
constexpr auto least = [](float a, float b) {
  const float less = b < a ? b : a;
  return b != b ? b : less;
};
constexpr auto sum = [](float a, float b) { return a + b; };
constexpr auto add_square = [](float a, float b) { return a + b * b; };

// y = join(y, x). The compiler makes vectors of loops whose length it knows.
template <class Join>
void join_rows(const float* __restrict x, float* __restrict y, int64_t count, Join join) {
  constexpr int64_t kBlock = 16;
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock)
    for (int64_t k = 0; k < kBlock; ++k) y[i + k] = join(y[i + k], x[i + k]);
  for (; i < count; ++i) y[i] = join(y[i], x[i]);
}

class ReduceStep : public Step {
 public:
  ReduceStep(const Graph& graph, const Node& node) : x_(node.input(0)), y_(node.outputs[0]), op_(node.op) {
    std::string why_not;
    plan_ = *plan_reduce(graph, node, why_not);
  }
  Status run(const RunState& s) const override {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    switch (op_) {
      case Op::ReduceMax:
        run_with(s, -kInfinity, largest, largest);
        break;
      case Op::ReduceMin:
        run_with(s, kInfinity, least, least);
        break;
      case Op::ReduceL2:
        run_with(s, 0.0f, add_square, sum);
        break;
      default:
        run_with(s, 0.0f, sum, sum);
    }
    return {};
  }

 private:
  // Units of work: runs of outputs that one task makes. Each output is a chain in the order of the input.
  template <class Join, class Merge>
  void run_with(const RunState& s, float start, Join join, Merge merge) const {
    constexpr int64_t kUnit = 4096;
    const int64_t units = (plan_.inner + kUnit - 1) / kUnit;
    s.pool.parallel_for(plan_.outer.at(s.batch) * units, [&](int64_t task, int) {
      const int64_t outer = task / units, first = task % units * kUnit, count = std::min(kUnit, plan_.inner - first);
      const float* x = s.data(x_) + outer * plan_.length * plan_.inner + first;
      float* y = s.data(y_) + outer * plan_.inner + first;
      if (plan_.inner == 1) {
        *y = row(x, start, join, merge);
      } else {
        std::fill_n(y, count, start);
        for (int64_t i = 0; i < plan_.length; ++i) join_rows(x + i * plan_.inner, y, count, join);
      }
      const bool mean = op_ == Op::ReduceMean || op_ == Op::GlobalAveragePool;
      for (int64_t i = 0; i < count && mean; ++i) y[i] *= 1.0f / static_cast<float>(plan_.length);
      for (int64_t i = 0; i < count && op_ == Op::ReduceL2; ++i) y[i] = std::sqrt(y[i]);
    });
  }

  // One output; eight chains, which are merged in the end.
  template <class Join, class Merge>
  float row(const float* x, float start, Join join, Merge merge) const {
    constexpr int64_t kChains = 8;
    float chains[kChains];
    std::fill_n(chains, kChains, start);
    int64_t i = 0;
    for (; i + kChains <= plan_.length; i += kChains)
      for (int64_t c = 0; c < kChains; ++c) chains[c] = join(chains[c], x[i + c]);
    for (int64_t c = 0; i < plan_.length; ++i, ++c) chains[c] = join(chains[c], x[i]);
    for (int64_t c = 1; c < kChains; ++c) chains[0] = merge(chains[0], chains[c]);
    return chains[0];
  }

  ValueId x_, y_;
  Op op_;
  Reduction plan_;
};

// (x − mean) / √(variance + ε) · scale + bias for each channel, as one product and one sum.
class BatchNormStep : public Step {
 public:
  BatchNormStep(const Graph& graph, const Node& node) : x_(node.input(0)), y_(node.outputs[0]) {
    const SymShape& shape = *graph.value(x_).shape;
    planes_ = *multiply(shape[0], shape[1]);
    for (size_t i = 2; i < shape.size(); ++i) pixels_ *= shape[i].fixed;
    const auto parameter = [&](size_t i) { return graph.constant(node.input(i)).as<float>(); };
    const double epsilon = node.real("epsilon", 1e-5f);
    for (size_t c = 0; c < parameter(1).size(); ++c) {
      const double factor = parameter(1)[c] / std::sqrt(static_cast<double>(parameter(4)[c]) + epsilon);
      scale_.push_back(static_cast<float>(factor));
      shift_.push_back(static_cast<float>(parameter(2)[c] - parameter(3)[c] * factor));
    }
  }
  Status run(const RunState& s) const override {
    s.pool.parallel_for(planes_.at(s.batch), [&](int64_t p, int) {
      const auto c = static_cast<size_t>(p) % scale_.size();
      const float *x = s.data(x_) + p * pixels_, scale = scale_[c], shift = shift_[c];
      float* y = s.data(y_) + p * pixels_;
      for (int64_t i = 0; i < pixels_; ++i) y[i] = x[i] * scale + shift;
    });
    return {};
  }

 private:
  ValueId x_, y_;
  Dim planes_;
  int64_t pixels_ = 1;
  std::vector<float> scale_, shift_;
};

}  // namespace

std::string refuse_reduce(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  std::string why_not;
  plan_reduce(graph, node, why_not);
  return why_not;
}

std::unique_ptr<Step> make_reduce(const Graph& graph, const Node& node) { return std::make_unique<ReduceStep>(graph, node); }

std::string refuse_batch_norm(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  for (size_t i = 1; i < 5; ++i)
    if (!graph.is_constant(node.input(i)) || graph.constant(node.input(i)).dtype() != DType::kF32)
      return "scale, bias, mean or variance is no float32 constant";
  const SymShape& shape = *graph.value(node.input(0)).shape;
  if (shape.size() < 2 || !std::all_of(shape.begin() + 1, shape.end(), [](Dim d) { return d.is_fixed(); }))
    return "extents other than the first depend on the batch";
  return "";
}

std::unique_ptr<Step> make_batch_norm(const Graph& graph, const Node& node) {
  return std::make_unique<BatchNormStep>(graph, node);
}

}  // namespace vitrail::cpu
