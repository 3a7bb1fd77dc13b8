// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cpu/steps/steps.h"
#include "backends/cpu/windows.h"

namespace vitrail::cpu {
namespace {

SymShape outer_of(const SymShape& shape) { return SymShape(shape.begin(), shape.end() - 2); }

// How many rows and matrices there are. One right side for all left ones makes one tall left side of them.
struct MatMulPlan {
  Dim m;
  SymShape outer;
  std::vector<Dim> a, b;  // strides along the outer axes, in matrices
};

std::optional<MatMulPlan> plan_matmul(const Graph& graph, const Node& node) {
  const SymShape &a = *graph.value(node.input(0)).shape, &b = *graph.value(node.input(1)).shape;
  const SymShape outer = outer_of(*graph.value(node.outputs[0]).shape);
  const Dim m = a[a.size() - 2];
  const auto count = element_count(outer), right = element_count(outer_of(b));
  if (!count || !right) return std::nullopt;
  if (*right == Dim::of(1) && element_count(outer_of(a)) == count) {
    const auto rows = multiply(*count, m);
    return rows ? std::optional(MatMulPlan{*rows, {}, {}, {}}) : std::nullopt;
  }
  auto left_strides = broadcast_strides(outer_of(a), outer), right_strides = broadcast_strides(outer_of(b), outer);
  if (!left_strides || !right_strides) return std::nullopt;
  return MatMulPlan{m, outer, std::move(*left_strides), std::move(*right_strides)};
}

// MatMul of two activations [.., M, K] × [.., K, N]: packs the right side, then multiplies. Many matrices are shared out among
// the threads, few are multiplied by all of them.
class MatMulStep : public Step {
 public:
  MatMulStep(const Graph& graph, const Node& node)
      : a_(node.input(0)),
        b_(node.input(1)),
        y_(node.outputs[0]),
        plan_(*plan_matmul(graph, node)),
        k_(extent(graph, a_, -1).fixed),
        n_(extent(graph, b_, -1).fixed) {}

  int64_t scratch_bytes(int64_t batch, int threads) const override {
    const int64_t m = plan_.m.at(batch);
    return std::max(threads * floats(m, 1), floats(m, threads)) * static_cast<int64_t>(sizeof(float));
  }

  Status run(const RunState& s) const override {
    const int64_t m = plan_.m.at(s.batch), count = element_count(at_batch(plan_.outer, s.batch));
    const Loop loop(plan_.outer, plan_.a, plan_.b, s.batch);
    const auto multiply_one = [&](int64_t i, ThreadPool& pool, float* scratch) {
      int64_t from_a = 0, from_b = 0, rest = i;
      for (size_t axis = loop.rank; axis-- > 0; rest /= loop.axes[axis].extent) {
        from_a += rest % loop.axes[axis].extent * loop.axes[axis].from;
        from_b += rest % loop.axes[axis].extent * loop.axes[axis].to;
      }
      pack_b(s.data(b_) + from_b * k_ * n_, k_, n_, n_, scratch);
      GemmArgs args{};
      args.a = s.data(a_) + from_a * m * k_;
      args.lda = k_;
      args.b_packed = scratch;
      args.c = s.data(y_) + i * m * n_;
      args.ldc = n_;
      args.m = m;
      args.n = n_;
      args.k = k_;
      gemm(s.kernels, pool, args, scratch + packed_floats(k_, n_));
    };
    if (count < s.pool.threads()) {
      for (int64_t i = 0; i < count; ++i) multiply_one(i, s.pool, s.scratch_floats());
      return {};
    }
    static ThreadPool alone(1);  // has no threads, so that many may use it at once
    s.pool.parallel_for(count, [&](int64_t i, int thread) { multiply_one(i, alone, s.scratch_floats() + thread * floats(m, 1)); });
    return {};
  }

 private:
  int64_t floats(int64_t m, int threads) const {
    constexpr int64_t kAlignment = 16;
    const auto needed = static_cast<int64_t>(packed_floats(k_, n_) + gemm_scratch_floats(m, n_, k_, threads));
    return (needed + kAlignment - 1) / kAlignment * kAlignment;
  }

  ValueId a_, b_, y_;
  MatMulPlan plan_;
  int64_t k_, n_;
};

}  // namespace

std::string refuse_matmul(const Graph& graph, const Node& node) {
  const SymShape& a = *graph.value(node.input(0)).shape;
  const SymShape& b = *graph.value(node.input(1)).shape;
  if (graph.value(node.input(0)).dtype != DType::kF32) return "operands are not float32";
  if (a.size() < 2 || b.size() < 2) return "an operand is a vector";
  if (std::max(a.size(), b.size()) - 2 > kMaxAxes) return fmt::format("more than {} outer axes", kMaxAxes);
  if (!a.back().is_fixed() || !b.back().is_fixed()) return "columns depend on the batch";
  return plan_matmul(graph, node) ? "" : "the number of rows or matrices is not affine in the batch";
}

std::unique_ptr<Step> make_matmul(const Graph& graph, const Node& node) {
  return std::make_unique<MatMulStep>(graph, node);
}

}  // namespace vitrail::cpu
