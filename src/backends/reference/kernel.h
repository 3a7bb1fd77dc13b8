// SPDX-License-Identifier: Apache-2.0
// One call of one operator, and the functions that answer it: a function for each operator or close family.
#pragma once

#include <span>
#include <vector>

#include "core/error.h"
#include "graph/graph.h"

namespace vitrail {
class ThreadPool;
}

namespace vitrail::reference {

using Tensors = std::vector<Tensor>;

// The dispatcher has checked the number of inputs and that the required ones are there.
struct Call {
  const Node& node;
  std::span<const Tensor* const> inputs;
  ThreadPool* pool = nullptr;

  const Tensor& input(size_t i) const { return *inputs[i]; }
  const Tensor* optional(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }

  template <class... Args>
  Status error(fmt::format_string<Args...> format, Args&&... args) const {
    return bad_input("layer '{}' ({}): {}", node.name, op_name(node.op),
                     fmt::format(format, std::forward<Args>(args)...));
  }
};

Result<Tensor> unary(const Call& call);
Result<Tensor> logical_not(const Call& call);
Result<Tensor> clip(const Call& call);
Result<Tensor> cast(const Call& call);
Result<Tensor> arithmetic(const Call& call);
Result<Tensor> compare(const Call& call);
Result<Tensor> select(const Call& call);
Result<Tensor> reduce(const Call& call);
Result<Tensor> arg_max(const Call& call);

Result<Tensor> constant(const Call& call);
Result<Tensor> constant_of_shape(const Call& call);
Result<Tensor> range(const Call& call);
Result<Tensor> shape(const Call& call);
Result<Tensor> size(const Call& call);
Result<Tensor> reshape(const Call& call);
Result<Tensor> flatten(const Call& call);
Result<Tensor> squeeze(const Call& call);
Result<Tensor> unsqueeze(const Call& call);
Result<Tensors> dropout(const Call& call);

Result<Tensor> concat(const Call& call);
Result<Tensors> split(const Call& call);
Result<Tensor> slice(const Call& call);
Result<Tensor> gather(const Call& call);
Result<Tensor> transpose(const Call& call);
Result<Tensor> expand(const Call& call);
Result<Tensor> tile(const Call& call);
Result<Tensor> depth_space(const Call& call);
Result<Tensor> gather_elements(const Call& call);
Result<Tensor> gather_nd(const Call& call);
Result<Tensor> is_nan(const Call& call);
Result<Tensor> scatter_elements(const Call& call);
Result<Tensor> scatter_nd(const Call& call);
Result<Tensors> top_k(const Call& call);
Result<Tensor> trilu(const Call& call);
Result<Tensor> pad(const Call& call);
Result<Tensor> resize(const Call& call);

Result<Tensor> softmax(const Call& call);
Result<Tensor> layer_normalization(const Call& call);
Result<Tensor> batch_normalization(const Call& call);
Result<Tensor> pool(const Call& call);
Result<Tensor> global_average_pool(const Call& call);
Result<Tensor> conv(const Call& call);
Result<Tensor> conv_transpose(const Call& call);
Result<Tensor> matmul(const Call& call);
Result<Tensor> gemm(const Call& call);
Result<Tensor> quantize_linear(const Call& call);
Result<Tensor> dequantize_linear(const Call& call);
Result<Tensor> linear(const Call& call);
Result<Tensor> multi_head_attention(const Call& call);
Result<Tensor> patch_embed(const Call& call);
Result<Tensor> quantized_linear(const Call& call);
Result<Tensor> row_stats(const Call& call);

}  // namespace vitrail::reference
