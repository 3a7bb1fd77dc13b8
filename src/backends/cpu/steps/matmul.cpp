// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/steps/steps.h"

namespace vitrail::cpu {
namespace {

// MatMul of two activations [.., M, K] × [.., K, N] with equal outer extents: packs the right side, then
// multiplies.
class MatMulStep : public Step {
 public:
  MatMulStep(const Graph& graph, const Node& node)
      : a_(node.input(0)),
        b_(node.input(1)),
        y_(node.outputs[0]),
        m_(extent(graph, a_, -2).fixed),
        k_(extent(graph, a_, -1).fixed),
        n_(extent(graph, b_, -1).fixed) {
    const SymShape& shape = *graph.value(a_).shape;
    outer_ = *element_count(SymShape(shape.begin(), shape.end() - 2));
  }

  int64_t scratch_bytes(int64_t, int threads) const override {
    return static_cast<int64_t>((packed_floats(k_, n_) + gemm_scratch_floats(m_, n_, k_, threads)) *
                                sizeof(float));
  }

  Status run(const RunState& s) const override {
    float* packed = s.scratch_floats();
    for (int64_t i = 0; i < outer_.at(s.batch); ++i) {
      pack_b(s.data(b_) + i * k_ * n_, k_, n_, n_, packed);
      GemmArgs args{};
      args.a = s.data(a_) + i * m_ * k_;
      args.lda = k_;
      args.b_packed = packed;
      args.c = s.data(y_) + i * m_ * n_;
      args.ldc = n_;
      args.m = m_;
      args.n = n_;
      args.k = k_;
      gemm(s.kernels, s.pool, args, packed + packed_floats(k_, n_));
    }
    return {};
  }

 private:
  ValueId a_, b_, y_;
  Dim outer_;
  int64_t m_, k_, n_;
};

}  // namespace

std::string refuse_matmul(const Graph& graph, const Node& node) {
  const SymShape& a = *graph.value(node.input(0)).shape;
  const SymShape& b = *graph.value(node.input(1)).shape;
  if (graph.value(node.input(0)).dtype != DType::kF32) return "operands are not float32";
  if (a.size() < 2 || a.size() != b.size() || !std::equal(a.begin(), a.end() - 2, b.begin()))
    return "outer extents are broadcast";
  for (Dim d : {a[a.size() - 2], a.back(), b.back()})
    if (!d.is_fixed()) return "matrix extents depend on the batch";
  return element_count(SymShape(a.begin(), a.end() - 2)) ? "" : "outer extents are not affine in the batch";
}

std::unique_ptr<Step> make_matmul(const Graph& graph, const Node& node) {
  return std::make_unique<MatMulStep>(graph, node);
}

}  // namespace vitrail::cpu
