// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/plugin_kinds.h"

#include "backends/cuda/device.h"
#include "backends/cuda/kernels/attention.h"
#include "backends/cuda/kernels/elementwise.h"
#include "backends/cuda/kernels/rows.h"

namespace vitrail::tensorrt {
namespace {

constexpr const char* kAttentionNames[] = {"heads",    "head_dim", "v_head_dim", "q_offset",
                                           "k_offset", "v_offset", "scale",      "tokens"};
constexpr const char* kLayerNormNames[] = {"epsilon"};
constexpr const char* kGeluNames[] = {"tanh"};

std::optional<cuda::Type> kernel_type(nv::DataType type) {
  if (type == nv::DataType::kFLOAT) return cuda::Type::kF32;
  if (type == nv::DataType::kHALF) return cuda::Type::kF16;
  return dtype_of(type) == DType::kBF16 ? std::optional(cuda::Type::kBF16) : std::nullopt;
}

AttentionNumbers unpacked(const PluginNumbers& n) {
  const auto whole = [&](size_t i) { return static_cast<int64_t>(n[i]); };
  return {whole(0), whole(1), whole(2), whole(3), whole(4), whole(5), n[6], whole(7)};
}

cuda::AttentionArgs args_of(const AttentionNumbers& n, int64_t q_row, int64_t k_row, int64_t v_row) {
  cuda::AttentionArgs a;
  a.heads = static_cast<int>(n.heads);
  a.d = static_cast<int>(n.head_dim);
  a.dv = static_cast<int>(n.v_head_dim);
  a.scale = n.scale;
  a.q_row = q_row, a.k_row = k_row, a.v_row = v_row;
  a.out_row = n.heads * n.v_head_dim;
  return a;
}

bool lie_in_their_rows(const AttentionNumbers& n, int64_t q_row, int64_t k_row, int64_t v_row) {
  const auto fits = [&](int64_t offset, int64_t dim, int64_t row) {
    return offset >= 0 && dim > 0 && offset + n.heads * dim <= row;
  };
  return n.heads > 0 && fits(n.q_offset, n.head_dim, q_row) && fits(n.k_offset, n.head_dim, k_row) &&
         fits(n.v_offset, n.v_head_dim, v_row);
}

bool takes_one_type(int32_t position, nv::DataType type, nv::DataType first) {
  return position == 0 ? kernel_type(type).has_value() : type == first;
}

nv::DimsExprs attention_shape(const PluginNumbers& numbers, const nv::DimsExprs* in,
                              nv::IExprBuilder& builder) {
  const AttentionNumbers n = unpacked(numbers);
  nv::DimsExprs out = in[0];
  out.d[n.tokens > 0 ? 1 : out.nbDims - 1] = builder.constant(static_cast<Extent>(n.heads * n.v_head_dim));
  return out;
}

cudaError_t run_attention(const PluginNumbers& numbers, const nv::PluginTensorDesc* in,
                          const void* const* inputs, void* const* outputs, cudaStream_t stream) {
  const Result<cuda::Device> device = cuda::current_device();
  if (!device.ok()) return cudaErrorNoDevice;
  const AttentionNumbers n = unpacked(numbers);
  const auto row = [&](int i) { return in[i].dims.d[n.tokens > 0 ? 1 : 2]; };
  const auto tokens = [&](int i) { return n.tokens > 0 ? n.tokens : int64_t{in[i].dims.d[1]}; };
  if (!lie_in_their_rows(n, row(0), row(1), row(2))) return cudaErrorInvalidValue;
  if (n.tokens > 0 && in[0].dims.d[0] % n.tokens != 0) return cudaErrorInvalidValue;
  cuda::AttentionArgs a = args_of(n, row(0), row(1), row(2));
  a.type = a.out_type = kernel_type(in[0].type).value_or(cuda::Type::kF16);
  a.batch = in[0].dims.d[0] / (n.tokens > 0 ? n.tokens : 1);
  a.sq = static_cast<int>(tokens(0));
  a.sk = static_cast<int>(tokens(1));
  const auto at = [&](int i, int64_t offset) {
    return static_cast<const std::byte*>(inputs[i]) + offset * cuda::type_size(a.type);
  };
  a.q = at(0, n.q_offset), a.k = at(1, n.k_offset), a.v = at(2, n.v_offset);
  a.out = outputs[0];
  cuda::AttentionPlan plan;
  const cudaError_t error = cuda::plan_attention(a, device->multiprocessors, device->has_wgmma(), &plan);
  return error == cudaSuccess ? cuda::launch_attention(plan, stream, false) : error;
}

bool layer_norm_takes(int32_t position, nv::DataType type, nv::DataType first) {
  if (position == 0) return kernel_type(type).has_value();
  return type == (position == 3 ? first : nv::DataType::kFLOAT);
}

bool add_layer_norm_takes(int32_t position, nv::DataType type, nv::DataType first) {
  if (position == 0) return kernel_type(type).has_value();
  return type == (position == 2 || position == 3 ? nv::DataType::kFLOAT : first);
}

nv::DimsExprs first_shape(const PluginNumbers&, const nv::DimsExprs* in, nv::IExprBuilder&) { return in[0]; }

int64_t count_of(const nv::PluginTensorDesc& t) {
  int64_t count = 1;
  for (int i = 0; i < t.dims.nbDims; ++i) count *= t.dims.d[i];
  return count;
}

cuda::LayerNormArgs layer_norm_args(const PluginNumbers& numbers, const nv::PluginTensorDesc& x,
                                    const nv::PluginTensorDesc& gamma) {
  cuda::LayerNormArgs a;
  a.columns = static_cast<int>(count_of(gamma));
  a.rows = a.columns > 0 ? count_of(x) / a.columns : 0;
  a.epsilon = numbers[0];
  a.type = a.out = kernel_type(x.type).value_or(cuda::Type::kF16);
  return a;
}

cudaError_t run_layer_norm(const PluginNumbers& numbers, const nv::PluginTensorDesc* in,
                           const void* const* inputs, void* const* outputs, cudaStream_t stream) {
  cuda::LayerNormArgs a = layer_norm_args(numbers, in[0], in[1]);
  a.x = inputs[0];
  a.gamma = static_cast<const float*>(inputs[1]);
  a.beta = static_cast<const float*>(inputs[2]);
  a.y = outputs[0];
  return cuda::launch_layer_norm(a, stream, false);
}

cudaError_t run_add_layer_norm(const PluginNumbers& numbers, const nv::PluginTensorDesc* in,
                               const void* const* inputs, void* const* outputs, cudaStream_t stream) {
  cuda::LayerNormArgs a = layer_norm_args(numbers, in[0], in[2]);
  a.x = inputs[0];
  a.residual = inputs[1];
  a.residual_rows = a.columns > 0 ? count_of(in[1]) / a.columns : 0;
  if (a.residual_rows <= 0 || a.rows % a.residual_rows != 0) return cudaErrorInvalidValue;
  a.gamma = static_cast<const float*>(inputs[2]);
  a.beta = static_cast<const float*>(inputs[3]);
  a.sum = outputs[0];
  a.y = outputs[1];
  return cuda::launch_layer_norm(a, stream, false);
}

cudaError_t run_gelu(const PluginNumbers& numbers, const nv::PluginTensorDesc* in, const void* const* inputs,
                     void* const* outputs, cudaStream_t stream) {
  const cuda::Unary how = numbers[0] != 0 ? cuda::Unary::kGeluTanh : cuda::Unary::kGelu;
  const cuda::Type type = kernel_type(in[0].type).value_or(cuda::Type::kF16);
  return cuda::launch_unary(how, inputs[0], outputs[0], type, count_of(in[0]), stream, false);
}

constexpr PluginKind kKinds[] = {
    {kAttentionPlugin, 3, 1, kAttentionNames, takes_one_type, attention_shape, run_attention},
    {kLayerNormPlugin, 3, 1, kLayerNormNames, layer_norm_takes, first_shape, run_layer_norm},
    {kAddLayerNormPlugin, 4, 2, kLayerNormNames, add_layer_norm_takes, first_shape, run_add_layer_norm},
    {kGeluPlugin, 1, 1, kGeluNames, takes_one_type, first_shape, run_gelu},
};

}  // namespace

std::span<const PluginKind> plugin_kinds() { return kKinds; }

PluginNumbers AttentionNumbers::packed() const {
  PluginNumbers n{};
  size_t i = 0;
  for (int64_t v : {heads, head_dim, v_head_dim, q_offset, k_offset, v_offset}) n[i++] = static_cast<float>(v);
  n[i++] = scale;
  n[i] = static_cast<float>(tokens);
  return n;
}

std::string refuse_attention_plugin(const AttentionNumbers& numbers, int64_t q_row, int64_t k_row,
                                    int64_t v_row) {
  if (!lie_in_their_rows(numbers, q_row, k_row, v_row)) return "heads lie outside of their rows";
  for (int64_t offset : {numbers.q_offset, numbers.k_offset, numbers.v_offset})
    if (offset % 8 != 0) return "heads do not start at multiples of 16 bytes";
  return cuda::refuse_attention(args_of(numbers, q_row, k_row, v_row));
}

}  // namespace vitrail::tensorrt
