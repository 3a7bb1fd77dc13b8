// SPDX-License-Identifier: Apache-2.0
// The entries of the kernel list, by family; kernel_list.cpp joins them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backends/cuda/kernels/types.h"
#include "backends/cuda/product.h"
#include "backends/cuda/step.h"

namespace vitrail::cuda {

#define VTL_CUDA_ENTRY(name)                                                      \
  std::string refuse_##name(const Graph& graph, const Node& node, const Target&); \
  std::unique_ptr<Step> make_##name(const Graph& graph, const Node& node);
VTL_CUDA_ENTRY(attention)
VTL_CUDA_ENTRY(layer_norm)
VTL_CUDA_ENTRY(row_stats)
VTL_CUDA_ENTRY(softmax)
VTL_CUDA_ENTRY(mean)
VTL_CUDA_ENTRY(unary)
VTL_CUDA_ENTRY(binary)
VTL_CUDA_ENTRY(copy)
VTL_CUDA_ENTRY(gather)
VTL_CUDA_ENTRY(matmul)
VTL_CUDA_ENTRY(quantize)
VTL_CUDA_ENTRY(dequantize)
VTL_CUDA_ENTRY(convert)
VTL_CUDA_ENTRY(patch_embed)
#undef VTL_CUDA_ENTRY

std::string refuse_view(const Graph& graph, const Node& node, const Target&);
std::string refuse_linear_own(const Graph& graph, const Node& node, const Target& target);
std::string refuse_linear_lt(const Graph& graph, const Node& node, const Target& target);
std::string refuse_quantized_linear(const Graph& graph, const Node& node, const Target& target);
std::unique_ptr<Step> make_linear(const Graph& graph, const Node& node);

std::unique_ptr<Step> make_host_step(const Graph& graph, const Node& node);

// Of a Linear's attribute; nothing when the kernels have no such epilogue.
std::optional<Activation> activation_from_name(std::string_view name);
// The product of a packed Linear or PatchEmbed at one batch size, without pointers: what the tuner measures.
Product product_of(const Graph& graph, const Node& node, int64_t batch);
// The configuration that the build chose for the batch size: that of the least tuned size that holds it.
std::string tactic_of(const Node& node, int64_t batch);

}  // namespace vitrail::cuda
