// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/evaluate.h"

#include <new>

#include "backends/reference/shapes.h"
#include "core/half.h"
#include "core/widen.h"
#include "graph/infer.h"

namespace vitrail {
namespace reference {
namespace {

Result<Tensors> one(Result<Tensor> result) {
  if (!result.ok()) return result.status();
  return Tensors{std::move(result).value()};
}

// No default: a new row in ops.def does not compile without a warning until it has an answer here.
Result<Tensors> dispatch(const Call& call) {
  switch (call.node.op) {
    case Op::Abs:
    case Op::Ceil:
    case Op::Cos:
    case Op::Erf:
    case Op::Exp:
    case Op::Floor:
    case Op::Gelu:
    case Op::HardSigmoid:
    case Op::HardSwish:
    case Op::LeakyRelu:
    case Op::Log:
    case Op::Neg:
    case Op::Reciprocal:
    case Op::Relu:
    case Op::Round:
    case Op::Sigmoid:
    case Op::Sign:
    case Op::Sin:
    case Op::Softplus:
    case Op::Sqrt:
    case Op::Tanh:
      return one(unary(call));
    case Op::Not:
      return one(logical_not(call));
    case Op::Clip:
      return one(clip(call));
    case Op::Cast:
    case Op::CastLike:
      return one(cast(call));
    case Op::Identity:
      return Tensors{call.input(0)};
    case Op::Dropout:
      return dropout(call);

    case Op::Add:
    case Op::Div:
    case Op::Max:
    case Op::Min:
    case Op::Mod:
    case Op::Mul:
    case Op::Pow:
    case Op::Sub:
      return one(arithmetic(call));
    case Op::And:
    case Op::Or:
    case Op::Equal:
    case Op::Greater:
    case Op::GreaterOrEqual:
    case Op::Less:
    case Op::LessOrEqual:
      return one(compare(call));
    case Op::Where:
      return one(select(call));

    case Op::ArgMax:
      return one(arg_max(call));
    case Op::ReduceL2:
    case Op::ReduceMax:
    case Op::ReduceMean:
    case Op::ReduceMin:
    case Op::ReduceProd:
    case Op::ReduceSum:
    case Op::ReduceSumSquare:
      return one(reduce(call));

    case Op::Concat:
      return one(concat(call));
    case Op::Constant:
      return one(constant(call));
    case Op::ConstantOfShape:
      return one(constant_of_shape(call));
    case Op::DepthToSpace:
    case Op::SpaceToDepth:
      return one(depth_space(call));
    case Op::Expand:
      return one(expand(call));
    case Op::Flatten:
      return one(flatten(call));
    case Op::Gather:
      return one(gather(call));
    case Op::GatherElements:
      return one(gather_elements(call));
    case Op::GatherND:
      return one(gather_nd(call));
    case Op::IsNaN:
      return one(is_nan(call));
    case Op::ScatterElements:
      return one(scatter_elements(call));
    case Op::ScatterND:
      return one(scatter_nd(call));
    case Op::TopK:
      return top_k(call);
    case Op::Trilu:
      return one(trilu(call));
    case Op::Pad:
      return one(pad(call));
    case Op::Range:
      return one(range(call));
    case Op::Reshape:
      return one(reshape(call));
    case Op::Resize:
      return one(resize(call));
    case Op::Shape:
      return one(shape(call));
    case Op::Size:
      return one(size(call));
    case Op::Slice:
      return one(slice(call));
    case Op::Split:
      return split(call);
    case Op::Squeeze:
      return one(squeeze(call));
    case Op::Tile:
      return one(tile(call));
    case Op::Transpose:
      return one(transpose(call));
    case Op::Unsqueeze:
      return one(unsqueeze(call));

    case Op::AveragePool:
    case Op::MaxPool:
      return one(pool(call));
    case Op::BatchNormalization:
      return one(batch_normalization(call));
    case Op::Conv:
      return one(conv(call));
    case Op::ConvTranspose:
      return one(conv_transpose(call));
    case Op::Gemm:
      return one(gemm(call));
    case Op::GlobalAveragePool:
      return one(global_average_pool(call));
    case Op::LayerNormalization:
      return one(layer_normalization(call));
    case Op::LogSoftmax:
    case Op::Softmax:
      return one(softmax(call));
    case Op::MatMul:
      return one(matmul(call));

    case Op::DequantizeLinear:
      return one(dequantize_linear(call));
    case Op::QuantizeLinear:
      return one(quantize_linear(call));

    case Op::Linear:
      return one(linear(call));
    case Op::MultiHeadAttention:
      return one(multi_head_attention(call));
    case Op::PatchEmbed:
      return one(patch_embed(call));
    case Op::QuantizedLinear:
      return one(quantized_linear(call));
    case Op::RowStats:
      return one(row_stats(call));
    case Op::Plan:
      return call.error("only the backend that made a plan can run it");
  }
  return call.error("no such operator");
}

Tensor narrow(const Tensor& t, DType dtype) {
  Tensor half(dtype, t.shape());
  const auto in = t.as<float>();
  const auto out = half.as_mutable<uint16_t>();
  for (size_t i = 0; i < in.size(); ++i)
    out[i] = dtype == DType::kF16 ? float_to_half(in[i]) : float_to_bfloat16(in[i]);
  return half;
}

Status check_inputs(const Call& call) {
  const OpInfo& info = op_info(call.node.op);
  const size_t count = call.inputs.size();
  if (count < static_cast<size_t>(info.min_inputs) || count > static_cast<size_t>(info.max_inputs))
    return call.error("has {} inputs, needs {} to {}", count, info.min_inputs, info.max_inputs);
  for (size_t i = 0; i < count; ++i) {
    const Tensor* t = call.inputs[i];
    if (!t && i < static_cast<size_t>(info.min_inputs)) return call.error("required input {} is absent", i);
    if (t && t->dtype() == DType::kUndefined) return call.error("input {} has no type", i);
    if (!t) continue;
    VTL_ASSIGN(const int64_t elements, checked_count(call, t->shape()));
    if (elements > 0 && t->empty()) return call.error("input {} has no content", i);
  }
  return Status();
}

}  // namespace
}  // namespace reference

Result<std::vector<Tensor>> evaluate_node(const Node& node, std::span<const Tensor* const> inputs,
                                          ThreadPool* pool) {
  using namespace reference;
  try {
    Call call{node, inputs, pool};
    VTL_TRY(check_inputs(call));
    std::vector<const Tensor*> pointers(inputs.begin(), inputs.end());
    std::vector<Tensor> copies(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i]) continue;
      const Tensor& t = *inputs[i];
      // Weights in a memory map may lie at any address; C++ reads a number only where it is aligned.
      const bool aligned = reinterpret_cast<uintptr_t>(t.data()) % dtype_size(t.dtype()) == 0;
      if (!aligned) copies[i] = t.clone();
      if (is_half(t.dtype()) && !has_trait(node.op, kMovement)) copies[i] = widened(t);
      if (copies[i].dtype() != DType::kUndefined) pointers[i] = &copies[i];
    }
    call.inputs = pointers;
    VTL_ASSIGN(Tensors outputs, dispatch(call));
    // The first input has the type of the output; DequantizeLinear's scale has, unless it is told another.
    const size_t typed = node.op == Op::DequantizeLinear ? 1 : 0;
    DType dtype = typed < inputs.size() && inputs[typed] ? inputs[typed]->dtype() : DType::kUndefined;
    if (typed == 1 && node.integer("output_dtype", 0) != 0) dtype = dtype_from_onnx(node.integer("output_dtype", 0));
    if (is_half(dtype) && !has_trait(node.op, kMovement))
      for (Tensor& t : outputs)
        if (t.dtype() == DType::kF32) t = narrow(t, dtype);
    return outputs;
  } catch (const std::bad_alloc&) {
    return resource_error("layer '{}' ({}): out of memory", node.name, op_name(node.op));
  }
}

}  // namespace vitrail
