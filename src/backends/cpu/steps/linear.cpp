// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cpu/steps/steps.h"
#include "core/error.h"
#include "graph/edit.h"

namespace vitrail::cpu {
namespace {

// Replaces a [K, N] (or, with `rows_are_outputs`, [N, K…]) weight by its packed panels [⌈N/16⌉, K, 16].
void pack_weight(Graph& graph, Node& node, bool rows_are_outputs) {
  const Tensor weight = graph.constant(node.input(1));
  const int64_t n = rows_are_outputs ? weight.dim(0) : weight.dim(1);
  const int64_t k = weight.count() / n;
  Tensor packed(DType::kF32, {(n + kPanel - 1) / kPanel, k, kPanel});
  auto* out = static_cast<float*>(packed.mutable_data());
  if (rows_are_outputs)
    pack_b_transposed(weight.as<float>().data(), k, n, k, out);
  else
    pack_b(weight.as<float>().data(), k, n, n, out);
  node.inputs[1] = add_weight(graph, graph.value(node.input(1)).name + ".packed", std::move(packed));
  node.attributes["packed_n"] = n;
}

class LinearStep : public Step {
 public:
  LinearStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        weight_(node.input(1)),
        bias_(node.input(2)),
        residual_(node.input(3)),
        y_(node.outputs[0]),
        rows_(*rows_of(graph, node.input(0))),
        k_(extent(graph, node.input(0), -1).fixed),
        n_(node.integer("packed_n", 0)),
        activation_(*activation_from_name(node.text("activation", "none"))) {}

  int64_t scratch_bytes(int64_t batch, int threads) const override {
    return static_cast<int64_t>(gemm_scratch_floats(rows_.at(batch), n_, k_, threads) * sizeof(float));
  }

  Status run(const RunState& s) const override {
    GemmArgs args{};
    args.a = s.data(x_);
    args.lda = k_;
    args.b_packed = s.data(weight_);
    args.bias = s.data(bias_);
    args.residual = s.data(residual_);
    args.ldr = n_;
    args.c = s.data(y_);
    args.ldc = n_;
    args.m = rows_.at(s.batch);
    args.n = n_;
    args.k = k_;
    args.activation = activation_;
    gemm(s.kernels, s.pool, args, s.scratch_floats());
    return {};
  }

 private:
  ValueId x_, weight_, bias_, residual_, y_;
  Dim rows_;
  int64_t k_, n_;
  Activation activation_;
};

// Cuts the image into rows of patches, then multiplies; the table's rows enter as the residual.
class PatchEmbedStep : public Step {
 public:
  PatchEmbedStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        weight_(node.input(1)),
        bias_(node.input(2)),
        table_(node.input(3)),
        y_(node.outputs[0]),
        n_(node.integer("packed_n", 0)),
        prefix_(node.integer("prefix", 0)),
        images_(extent(graph, x_, 0)) {
    const auto kernel = node.integers("kernel_shape");
    image_.batch = 1;
    image_.channels = extent(graph, x_, 1).fixed;
    image_.height = extent(graph, x_, 2).fixed;
    image_.width = extent(graph, x_, 3).fixed;
    image_.kh = image_.sh = kernel[0];
    image_.kw = image_.sw = kernel[1];
    patches_ = (image_.height / kernel[0]) * (image_.width / kernel[1]);
    k_ = image_.channels * kernel[0] * kernel[1];
  }

  int64_t scratch_bytes(int64_t, int threads) const override {
    return static_cast<int64_t>((gather_floats() + gemm_scratch_floats(patches_, n_, k_, threads)) *
                                sizeof(float));
  }

  // Image by image, so that the gathered patches stay in the cache.
  Status run(const RunState& s) const override {
    const int64_t tokens = prefix_ + patches_;
    const float* table = s.data(table_);
    float* gathered = s.scratch_floats();
    for (int64_t b = 0; b < images_.at(s.batch); ++b) {
      PatchArgs image = image_;
      image.x = s.data(x_) + b * image_.channels * image_.height * image_.width;
      image.out = gathered;
      gather_patches(s.pool, image);
      float* out = s.data(y_) + b * tokens * n_;
      if (prefix_ > 0) std::copy_n(table, prefix_ * n_, out);
      GemmArgs args{};
      args.a = gathered;
      args.lda = k_;
      args.b_packed = s.data(weight_);
      args.bias = s.data(bias_);
      args.residual = table ? table + prefix_ * n_ : nullptr;
      args.ldr = n_;
      args.c = out + prefix_ * n_;
      args.ldc = n_;
      args.m = patches_;
      args.n = n_;
      args.k = k_;
      gemm(s.kernels, s.pool, args, gathered + gather_floats());
    }
    return {};
  }

 private:
  size_t gather_floats() const { return static_cast<size_t>((patches_ * k_ + 15) / 16 * 16); }

  ValueId x_, weight_, bias_, table_, y_;
  int64_t n_, prefix_;
  Dim images_;
  PatchArgs image_{};
  int64_t patches_ = 0, k_ = 0;
};

// A weight that prepare_* has laid out must fit the node; one that is still as imported is checked by shape
// inference.
std::string refuse_packed(const Graph& graph, const Node& node, int64_t k) {
  if (!graph.is_constant(node.input(1)) || graph.value(node.input(1)).dtype != DType::kF32)
    return "weight is not a float32 constant";
  if (!node.has("packed_n")) return "";
  const int64_t n = node.integer("packed_n", 0);
  if (graph.constant(node.input(1)).shape() != Shape{(n + kPanel - 1) / kPanel, k, kPanel} ||
      extent(graph, node.outputs[0], -1) != Dim::of(n))
    return "packed weight does not fit";
  return "";
}

}  // namespace

std::string refuse_linear(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  if (!extent(graph, node.input(0), -1).is_fixed()) return "inner extent depends on the batch";
  if (!rows_of(graph, node.input(0))) return "the number of rows is not affine in the batch";
  const std::string activation = node.text("activation", "none");
  if (!activation_from_name(activation)) return fmt::format("no epilogue for activation '{}'", activation);
  return refuse_packed(graph, node, extent(graph, node.input(0), -1).fixed);
}

void prepare_linear(Graph& graph, Node& node) { pack_weight(graph, node, false); }

std::unique_ptr<Step> make_linear(const Graph& graph, const Node& node) {
  return std::make_unique<LinearStep>(graph, node);
}

std::string refuse_patch_embed(const Graph& graph, const Node& node) {
  const SymShape& shape = *graph.value(node.input(0)).shape;
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  for (size_t i = 1; i < shape.size(); ++i)
    if (!shape[i].is_fixed()) return "image size depends on the batch";
  const auto kernel = node.integers("kernel_shape");
  if (shape.size() != 4 || kernel.size() != 2) return "not a 2-D image";
  return refuse_packed(graph, node, shape[1].fixed * kernel[0] * kernel[1]);
}

void prepare_patch_embed(Graph& graph, Node& node) { pack_weight(graph, node, true); }

std::unique_ptr<Step> make_patch_embed(const Graph& graph, const Node& node) {
  return std::make_unique<PatchEmbedStep>(graph, node);
}

}  // namespace vitrail::cpu
