// SPDX-License-Identifier: Apache-2.0
// Reductions over any set of axes, and ArgMax.
#include <cmath>

#include "backends/reference/shapes.h"
#include "backends/reference/types.h"

namespace vitrail::reference {
namespace {

struct Plan {
  Shape output;    // with or without the reduced axes
  Shape strides;   // of the output, 0 along reduced axes, one for each input axis
  int64_t folded;  // input elements for each output
};

Result<Plan> plan_reduction(const Call& call, const std::vector<bool>& reduced) {
  const Shape& in = call.input(0).shape();
  const bool keep = call.node.integer("keepdims", 1) != 0;
  Shape kept = in;
  Plan plan{{}, {}, 1};
  for (size_t i = 0; i < in.size(); ++i) {
    if (reduced[i]) kept[i] = 1, plan.folded *= in[i];
    if (keep || !reduced[i]) plan.output.push_back(kept[i]);
  }
  plan.strides = strides_of(kept);
  for (size_t i = 0; i < in.size(); ++i)
    if (reduced[i]) plan.strides[i] = 0;
  return plan;
}

// Folds `step` over the inputs of each output, from `init`, in row-major order; `finish` makes the output
// element.
template <class T, class A, class Step, class Finish>
Result<Tensor> fold(const Call& call, const Plan& plan, A init, const Step& step, const Finish& finish) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(Tensor y, make_output(call, x.dtype(), plan.output));
  std::vector<A> sums(static_cast<size_t>(y.count()), init);
  const T* in = x.as<T>().data();
  walk<1>(x.shape(), {plan.strides}, [&](int64_t i, const auto& at) {
    A& sum = sums[static_cast<size_t>(at[0])];
    sum = step(sum, in[i]);
  });
  const auto out = y.as_mutable<T>();
  for (size_t i = 0; i < out.size(); ++i) out[i] = finish(sums[i]);
  return y;
}

template <class T>
Result<Tensor> reduce_typed(const Call& call, const Plan& plan) {
  using W = Wide<T>;
  using Limits = std::numeric_limits<T>;
  constexpr bool kFloat = std::is_floating_point_v<T>;
  const auto same = [](auto v) { return static_cast<T>(v); };
  const auto add = [](W a, T x) { return a + W(x); };
  const int64_t n = plan.folded;
  switch (call.node.op) {
    case Op::ReduceSum:
      return fold<T>(call, plan, W(0), add, same);
    case Op::ReduceProd:
      return fold<T>(
          call, plan, W(1), [](W a, T x) { return a * W(x); }, same);
    case Op::ReduceSumSquare:
      return fold<T>(
          call, plan, W(0), [](W a, T x) { return a + W(x) * W(x); }, same);
    case Op::ReduceL2:
      return fold<T>(
          call, plan, 0.0, [](double a, T x) { return a + static_cast<double>(x) * static_cast<double>(x); },
          [](double a) { return convert<T>(std::sqrt(a)); });
    case Op::ReduceMean:
      if (!kFloat && n == 0) return call.error("the mean of no integers");
      return fold<T>(call, plan, W(0), add, [n](W a) {
        if constexpr (kFloat)
          return static_cast<T>(a / static_cast<double>(n));
        else if constexpr (std::is_signed_v<T>)
          return static_cast<T>(static_cast<int64_t>(a) / n);
        else
          return static_cast<T>(a / static_cast<uint64_t>(n));
      });
    case Op::ReduceMax:
      return fold<T>(
          call, plan, kFloat ? -Limits::infinity() : Limits::lowest(),
          [](T a, T x) { return x != x || x > a ? x : a; }, same);
    default:  // ReduceMin
      return fold<T>(
          call, plan, kFloat ? Limits::infinity() : Limits::max(),
          [](T a, T x) { return x != x || x < a ? x : a; }, same);
  }
}

template <class T>
void arg_max_rows(const T* in, const AxisSplit& s, bool last, int64_t* out) {
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t i = 0; i < s.inner; ++i) {
      const T* row = in + o * s.extent * s.inner + i;
      int64_t best = 0;
      for (int64_t k = 1; k < s.extent; ++k) {
        const T v = row[k * s.inner], b = row[best * s.inner];
        if (b == b && (v != v || v > b || (last && v == b))) best = k;
      }
      out[o * s.inner + i] = best;
    }
}

}  // namespace

Result<Tensor> reduce(const Call& call) {
  const Tensor& x = call.input(0);
  std::vector<int64_t> axes;
  if (const Tensor* given = call.optional(1)) {
    VTL_ASSIGN(axes, read_integers(call, *given));
  }
  if (axes.empty() && call.node.integer("noop_with_empty_axes", 0) != 0) return x;
  VTL_ASSIGN(std::vector<bool> reduced, mark_axes(call, axes, x.rank()));
  if (axes.empty()) reduced.assign(x.rank(), true);
  VTL_ASSIGN(const Plan plan, plan_reduction(call, reduced));
  const bool ordered = call.node.op == Op::ReduceMax || call.node.op == Op::ReduceMin;
  auto run = [&]<class T>() { return reduce_typed<T>(call, plan); };
  return ordered ? with_any(call, x.dtype(), run) : with_number(call, x.dtype(), run);
}

Result<Tensor> arg_max(const Call& call) {
  const Tensor& x = call.input(0);
  VTL_ASSIGN(const size_t axis, normalize_axis(call, call.node.integer("axis", 0), x.rank()));
  const AxisSplit s = split_at(x.shape(), axis);
  if (s.extent == 0) return call.error("axis {} of {} is empty", axis, to_string(x.shape()));
  std::vector<bool> reduced(x.rank(), false);
  reduced[axis] = true;
  VTL_ASSIGN(const Plan plan, plan_reduction(call, reduced));
  VTL_ASSIGN(Tensor y, make_output(call, DType::kI64, plan.output));
  const bool last = call.node.integer("select_last_index", 0) != 0;
  return with_number(call, x.dtype(), [&]<class T>() -> Result<Tensor> {
    arg_max_rows(x.as<T>().data(), s, last, y.as_mutable<int64_t>().data());
    return y;
  });
}

}  // namespace vitrail::reference
