// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/restate.h"

#include <climits>

#include "core/error.h"
#include "core/half.h"

namespace vitrail::onnx_import {
namespace {

struct Row {
  std::string_view name;
  int min_inputs, max_inputs, max_outputs;
};

constexpr Row kRows[] = {
#define VTL_RESTATED(name, min_inputs, max_inputs, max_outputs, note) \
  {#name, min_inputs, max_inputs, max_outputs},
#include "import/onnx/restated.def"
#undef VTL_RESTATED
};

const Row* find_row(std::string_view name) {
  for (const Row& row : kRows)
    if (row.name == name) return &row;
  return nullptr;
}

// x for x >= 0, else alpha · (exp(x) − 1).
Status elu(Restatement& r) {
  const ValueId x = r.input(0);
  const DType dtype = r.dtype(x);
  const ValueId below = r.emit(Op::Mul, {r.emit(Op::Sub, {r.emit(Op::Exp, {x}), r.number(1, dtype)}),
                                         r.number(r.call().real("alpha", 1), dtype)});
  r.finish(0, Op::Where, {r.emit(Op::Less, {x, r.number(0, dtype)}), below, x});
  return {};
}

Status lp_norm(Restatement& r) {
  const ValueId axes = r.integers({r.call().integer("axis", -1)});
  const ValueId x = r.input(0);
  const ValueId norm = r.call().integer("p", 2) == 2 ? r.emit(Op::ReduceL2, {x, axes})
                                                     : r.emit(Op::ReduceSum, {r.emit(Op::Abs, {x}), axes});
  // 0 where the norm is 0, as ONNX wants it.
  const ValueId zero = r.number(0, r.dtype(x));
  r.finish(0, Op::Where, {r.emit(Op::Equal, {norm, zero}), zero, r.emit(Op::Div, {x, norm})});
  return {};
}

Status sum(Restatement& r, bool mean) {
  ValueId total = r.input(0);
  const size_t count = r.call().inputs.size();
  for (size_t i = 1; i < count; ++i) total = r.emit(Op::Add, {total, r.input(i)});
  if (mean)
    r.finish(0, Op::Div, {total, r.number(static_cast<double>(count), r.dtype(r.input(0)))});
  else
    r.finish(0, Op::Identity, {total});
  return {};
}

}  // namespace

DType Restatement::dtype(ValueId id) {
  if (context_.graph.value(id).dtype == DType::kUndefined) context_.infer();
  return context_.graph.value(id).dtype;
}

Result<SymShape> Restatement::shape(ValueId id) {
  if (!context_.graph.value(id).shape) context_.infer();
  const Value& value = context_.graph.value(id);
  if (!value.shape)
    return bad_input(
        "the shape of '{}' is not known, and this operator is restated by it: export with fixed sizes",
        value.name);
  return *value.shape;
}

Result<int64_t> Restatement::extent(ValueId id, int64_t axis) {
  VTL_ASSIGN(const SymShape dims, shape(id));
  const auto rank = static_cast<int64_t>(dims.size());
  if (axis < -rank || axis >= rank)
    return bad_input("'{}' is {} and has no axis {}", context_.graph.value(id).name, to_string(dims), axis);
  const Dim dim = dims[static_cast<size_t>(axis < 0 ? axis + rank : axis)];
  if (!dim.is_fixed())
    return bad_input("axis {} of '{}', {}, depends on the batch", axis, context_.graph.value(id).name,
                     to_string(dims));
  return dim.fixed;
}

ValueId Restatement::emit(Op op, std::vector<ValueId> inputs, Attributes attributes) {
  Value value;
  value.name = context_.names.make(fmt::format("{}.{}", call_.name, op_name(op)));
  const ValueId id = context_.graph.add_value(std::move(value));
  context_.graph.nodes.push_back({op, call_.name, std::move(inputs), {id}, std::move(attributes), ""});
  return id;
}

void Restatement::finish(size_t output, Op op, std::vector<ValueId> inputs, Attributes attributes) {
  if (wants(output))
    context_.graph.nodes.push_back(
        {op, call_.name, std::move(inputs), {call_.outputs[output]}, std::move(attributes), ""});
}

ValueId Restatement::constant(Tensor tensor) {
  return context_.graph.add_constant(context_.names.make(call_.name + ".constant"), std::move(tensor));
}

ValueId Restatement::integers(const std::vector<int64_t>& values) {
  return constant(Tensor::i64({static_cast<int64_t>(values.size())}, values));
}

ValueId Restatement::number(double value, DType dtype) {
  Tensor tensor(dtype == DType::kUndefined ? DType::kF32 : dtype, {});
  switch (tensor.dtype()) {
    case DType::kF64:
      tensor.as_mutable<double>()[0] = value;
      break;
    case DType::kF16:
      tensor.as_mutable<uint16_t>()[0] = float_to_half(static_cast<float>(value));
      break;
    case DType::kBF16:
      tensor.as_mutable<uint16_t>()[0] = float_to_bfloat16(static_cast<float>(value));
      break;
    default:
      tensor = Tensor::f32({}, {static_cast<float>(value)});
  }
  return constant(std::move(tensor));
}

bool is_restated(std::string_view op_type) { return find_row(op_type) != nullptr; }

Status restate(std::string_view op_type, Restatement& r) {
  const Row& row = *find_row(op_type);
  const auto count = static_cast<int>(r.call().inputs.size());
  if (count < row.min_inputs || count > row.max_inputs)
    return bad_input("{} has {} inputs, needs {} to {}", op_type, count, row.min_inputs, row.max_inputs);
  for (int i = 0; i < row.min_inputs; ++i)
    if (r.input(static_cast<size_t>(i)) == kNoValue) return bad_input("{} lacks its input {}", op_type, i);
  if (static_cast<int>(r.call().outputs.size()) > row.max_outputs)
    return bad_input("{} has {} outputs, at most {} are known", op_type, r.call().outputs.size(),
                     row.max_outputs);

  const ValueId x = r.input(0);
  if (op_type == "Attention") return restate_attention(r);
  if (op_type == "Einsum") return restate_einsum(r);
  if (op_type == "GroupNormalization") return restate_group_norm(r, r.call().integer("num_groups", 0));
  if (op_type == "InstanceNormalization") return restate_group_norm(r, 0);
  if (op_type == "RMSNormalization") return restate_rms_norm(r);
  if (op_type == "RotaryEmbedding") return restate_rotary_embedding(r);
  if (op_type == "Elu") return elu(r);
  if (op_type == "LpNormalization") return lp_norm(r);
  if (op_type == "Sum") return sum(r, false);
  if (op_type == "Mean") return sum(r, true);
  if (op_type == "Mish") {
    r.finish(0, Op::Mul, {x, r.emit(Op::Tanh, {r.emit(Op::Softplus, {x})})});
  } else if (op_type == "PRelu") {
    const ValueId zero = r.number(0, r.dtype(x));
    r.finish(0, Op::Add,
             {r.emit(Op::Max, {x, zero}), r.emit(Op::Mul, {r.emit(Op::Min, {x, zero}), r.input(1)})});
  } else if (op_type == "ReduceL1") {
    std::vector<ValueId> inputs = r.call().inputs;
    inputs[0] = r.emit(Op::Abs, {x});
    Restatement::Attributes attributes = r.call().attributes;
    if (const std::vector<int64_t> axes = r.call().integers("axes"); !axes.empty()) {  // before opset 18
      inputs.resize(1);
      inputs.push_back(r.integers(axes));
      attributes.erase("axes");
    }
    r.finish(0, Op::ReduceSum, std::move(inputs), std::move(attributes));
  } else if (op_type == "Softsign") {
    r.finish(0, Op::Div, {x, r.emit(Op::Add, {r.emit(Op::Abs, {x}), r.number(1, r.dtype(x))})});
  } else {  // Swish
    const ValueId scaled = r.emit(Op::Mul, {x, r.number(r.call().real("alpha", 1), r.dtype(x))});
    r.finish(0, Op::Mul, {x, r.emit(Op::Sigmoid, {r.call().real("alpha", 1) == 1 ? x : scaled})});
  }
  return {};
}

}  // namespace vitrail::onnx_import
