// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cuda/kernels/patches.h"

#include "backends/cuda/steps/steps.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

// Gathers the patches into rows, then multiplies; prefix rows are zero there, so the table alone gives them.
class PatchLaunch : public Launch {
 public:
  PatchLaunch(PatchesArgs patches, std::unique_ptr<Launch> product, std::string where)
      : patches_(patches), product_(std::move(product)), where_(std::move(where)) {}
  Status enqueue(cudaStream_t stream, bool dependent) const override {
    VTL_TRY(cuda_status(launch_patches(patches_, stream, dependent), where_));
    return product_->enqueue(stream, true);
  }
  bool ends_in_own_kernel() const override { return product_->ends_in_own_kernel(); }

 private:
  PatchesArgs patches_;
  std::unique_ptr<Launch> product_;
  std::string where_;
};

int64_t align(int64_t bytes) { return (bytes + 255) / 256 * 256; }

class PatchEmbedStep : public Step {
 public:
  PatchEmbedStep(const Graph& graph, const Node& node) : graph_(graph), node_(node) {
    const auto kernel = node.integers("kernel_shape");
    const ValueId x = node.input(0);
    args_.image_type = type_of(graph, x);
    args_.type = type_attribute(node, "type", Type::kF16);
    const bool bytes = node.has("byte_scale");  // [N, H, W, C]
    args_.channels = static_cast<int>(extent(graph, x, bytes ? 3 : 1).fixed);
    args_.height = static_cast<int>(extent(graph, x, bytes ? 1 : 2).fixed);
    args_.width = static_cast<int>(extent(graph, x, bytes ? 2 : 3).fixed);
    if (bytes) {
      args_.image_type = Type::kU8;
      std::ranges::copy(std::get<std::vector<float>>(node.attributes.at("byte_scale")), args_.scale);
      std::ranges::copy(std::get<std::vector<float>>(node.attributes.at("byte_shift")), args_.shift);
    }
    args_.patch_h = static_cast<int>(kernel[0]);
    args_.patch_w = static_cast<int>(kernel[1]);
    args_.prefix = static_cast<int>(node.integer("prefix", 0));
    args_.k_padded = graph.constant(node.input(1)).dim(1);
  }

  int64_t scratch_bytes(int64_t batch) const override {
    const Product p = product_of(graph_, node_, batch);
    return align(p.args.m * p.args.k * type_size(p.type)) + lt_scratch_bytes(p);
  }
  // Patches that leave a rest of the image out do not see all of it.
  bool checks_input() const override {
    return args_.height % args_.patch_h == 0 && args_.width % args_.patch_w == 0;
  }
  bool needs_lt() const override {
    return node_.text("product", "") == "cublaslt" || node_.text("tactics_lt", "") == "1";
  }

  Result<std::unique_ptr<Launch>> bind(const Binding& b) const override {
    PatchesArgs patches = args_;
    patches.non_finite = b.non_finite;
    patches.image = b.data(node_.input(0));
    patches.rows = b.scratch;
    patches.batch = extent(graph_, node_.input(0), 0).at(b.batch);
    Product p = product_of(graph_, node_, b.batch);
    p.args.a = b.scratch;
    p.args.b = b.data(node_.input(1));
    p.args.bias = b.data<float>(node_.input(2));
    p.args.residual = b.data(node_.input(3));
    p.args.d = b.data(node_.outputs[0]);
    p.args.stats_out = node_.outputs.size() > 1 ? b.data<float>(node_.outputs[1]) : nullptr;
    Binding rest = b;
    rest.scratch = b.scratch + align(p.args.m * p.args.k * type_size(p.type));
    std::string config = node_.text("product", "") == "cublaslt" ? kLtPrefix + std::string("0") : "";
    if (const std::string tuned = tactic_of(node_, b.batch); !tuned.empty()) config = tuned;
    VTL_ASSIGN(auto product, bind_product(p, config, rest, layer_text(node_),
                                            node_.outputs.size() > 1 ? node_.outputs[1] : kNoValue));
    return std::unique_ptr<Launch>(
        std::make_unique<PatchLaunch>(patches, std::move(product), layer_text(node_)));
  }

 private:
  const Graph& graph_;
  const Node& node_;
  PatchesArgs args_;
};

}  // namespace

std::string refuse_patch_embed(const Graph& graph, const Node& node, const Target&) {
  const SymShape& shape = *graph.value(node.input(0)).shape;
  const auto kernel = node.integers("kernel_shape"), strides = node.integers("strides");
  if (shape.size() != 4 || kernel.size() != 2) return "not a 2-D image";
  for (size_t i = 1; i < 4; ++i)
    if (!shape[i].is_fixed()) return "image size depends on the batch";
  for (const char* name : {"byte_scale", "byte_shift"})
    if (node.has(name)) {
      const auto* list = std::get_if<std::vector<float>>(&node.attributes.at(name));
      if (!list || list->size() != 3 || shape[3] != Dim::of(3)) return "bytes without a scale for each channel";
    }
  if (!strides.empty() && strides != kernel) return "patches overlap";
  if (!rows_of(graph, node.outputs[0])) return "the number of rows is not affine in the batch";
  for (size_t i = 1; i < 4; ++i)
    if (node.input(i) != kNoValue && !graph.is_constant(node.input(i)))
      return "weight, bias or table is not a constant";
  return "";
}

std::unique_ptr<Step> make_patch_embed(const Graph& graph, const Node& node) {
  return std::make_unique<PatchEmbedStep>(graph, node);
}

}  // namespace vitrail::cuda
