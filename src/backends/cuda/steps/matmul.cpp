// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cuda/steps/steps.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

class LtBatchedLaunch : public Launch {
 public:
  LtBatchedLaunch(const Lt& lt, std::shared_ptr<const Lt::Plan> plan, const Binding& b, const Node& node)
      : lt_(lt),
        plan_(std::move(plan)),
        a_(b.data(node.input(0))),
        b_(b.data(node.input(1))),
        d_(b.data(node.outputs[0])),
        workspace_(b.workspace),
        where_(layer_text(node)) {}
  Status enqueue(cudaStream_t stream, bool) const override {
    return lt_.run(*plan_, a_, b_, nullptr, nullptr, d_, workspace_, stream).with_context(where_);
  }
  bool ends_in_own_kernel() const override { return false; }

 private:
  const Lt& lt_;
  std::shared_ptr<const Lt::Plan> plan_;
  void *a_, *b_, *d_, *workspace_;
  std::string where_;
};

// MatMul of two activations [.., M, K] × [.., K, N], or of one and a matrix.
class MatMulStep : public Step {
 public:
  MatMulStep(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}
  bool needs_lt() const override { return true; }

  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    const Shape a = at_batch(*graph_.value(node_.input(0)).shape, b.batch);
    const Shape w = at_batch(*graph_.value(node_.input(1)).shape, b.batch);
    LtProblem p;
    p.k = a.back(), p.n = w.back();
    p.batch = w.size() == 2 ? 1 : element_count(Shape(w.begin(), w.end() - 2));
    p.m = element_count(a) / p.k / p.batch;
    p.a_stride = p.m * p.k, p.b_stride = p.k * p.n, p.d_stride = p.m * p.n;
    p.b_is_k_by_n = true;
    p.in = p.out = type_of(graph_, node_.outputs[0]);
    p.tf32 = node_.integer("tf32", 0) != 0;
    VTL_ASSIGN(auto plans, b.lt->plans(p, b.workspace_bytes, 1));
    if (plans.empty())
      return unavailable("{}: cuBLASLt has no algorithm for {} products {}×{}×{} in {}", layer_text(node_),
                         p.batch, p.m, p.n, p.k, type_name(p.in));
    return std::unique_ptr<Launch>(std::make_unique<LtBatchedLaunch>(*b.lt, plans[0], b, node_));
  }

 private:
  const Graph& graph_;
  const Node& node_;
};

}  // namespace

std::string refuse_matmul(const Graph& graph, const Node& node, const Target&) {
  const SymShape& a = *graph.value(node.input(0)).shape;
  const SymShape& b = *graph.value(node.input(1)).shape;
  if (!is_float(graph.value(node.input(0)).dtype)) return "operands are not of a floating type";
  const bool matrix = b.size() == 2 && a.size() >= 2;
  if (!matrix && (a.size() < 3 || a.size() != b.size() || !std::equal(a.begin(), a.end() - 2, b.begin())))
    return "outer extents are broadcast";
  for (Dim d : {a[a.size() - 2], a.back(), b.back()})
    if (!d.is_fixed() && !(matrix && a.size() == 2)) return "matrix extents depend on the batch";
  return element_count(SymShape(a.begin(), a.end() - 2)) ? "" : "outer extents are not affine in the batch";
}
std::unique_ptr<Step> make_matmul(const Graph& graph, const Node& node) {
  return std::make_unique<MatMulStep>(graph, node);
}

}  // namespace vitrail::cuda
