// SPDX-License-Identifier: Apache-2.0
// Element-wise operators, reductions and norms.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/tensorrt/module/layers.h"

namespace vitrail::tensorrt {
namespace {

using Binary = nv::ElementWiseOperation;
using Unary = nv::UnaryOperation;
using Act = nv::ActivationType;

std::optional<Unary> unary_of(Op op) {
  switch (op) {
    case Op::Abs:
      return Unary::kABS;
    case Op::Ceil:
      return Unary::kCEIL;
    case Op::Cos:
      return Unary::kCOS;
    case Op::Erf:
      return Unary::kERF;
    case Op::Exp:
      return Unary::kEXP;
    case Op::Floor:
      return Unary::kFLOOR;
    case Op::Log:
      return Unary::kLOG;
    case Op::Neg:
      return Unary::kNEG;
    case Op::Not:
      return Unary::kNOT;
    case Op::Reciprocal:
      return Unary::kRECIP;
    case Op::Round:
      return Unary::kROUND;
    case Op::Sign:
      return Unary::kSIGN;
    case Op::Sin:
      return Unary::kSIN;
    case Op::Sqrt:
      return Unary::kSQRT;
    default:
      return std::nullopt;
  }
}

std::optional<Act> activation_of(Op op) {
  switch (op) {
    case Op::Relu:
      return Act::kRELU;
    case Op::Sigmoid:
      return Act::kSIGMOID;
    case Op::Tanh:
      return Act::kTANH;
    case Op::Softplus:
      return Act::kSOFTPLUS;
    case Op::LeakyRelu:
      return Act::kLEAKY_RELU;
    case Op::HardSigmoid:
    case Op::HardSwish:
      return Act::kHARD_SIGMOID;
    default:
      return std::nullopt;
  }
}

std::optional<Binary> binary_of(Op op) {
  switch (op) {
    case Op::Add:
      return Binary::kSUM;
    case Op::And:
      return Binary::kAND;
    case Op::Div:
      return Binary::kDIV;
    case Op::Equal:
      return Binary::kEQUAL;
    case Op::Greater:
    case Op::LessOrEqual:
      return Binary::kGREATER;
    case Op::Less:
    case Op::GreaterOrEqual:
      return Binary::kLESS;
    case Op::Max:
      return Binary::kMAX;
    case Op::Min:
      return Binary::kMIN;
    case Op::Mul:
      return Binary::kPROD;
    case Op::Or:
      return Binary::kOR;
    case Op::Pow:
      return Binary::kPOW;
    case Op::Sub:
      return Binary::kSUB;
    default:
      return std::nullopt;
  }
}

size_t axis_of(const Node& node, int64_t fallback, size_t rank) {
  const int64_t axis = node.integer("axis", fallback);
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

// The axes that a reduction names as attribute or input; all of them when it names none.
uint32_t axes_mask(Network& n, size_t rank) {
  std::vector<int64_t> axes = n.node().integers("axes");
  if (axes.empty() && n.has(1))
    if (const auto& given = n.input_value(1).integers)
      for (const Dim& d : *given) axes.push_back(d.fixed);
  uint32_t mask = 0;
  for (int64_t a : axes) mask |= 1u << static_cast<uint32_t>(a < 0 ? a + static_cast<int64_t>(rank) : a);
  return axes.empty() ? (1u << rank) - 1 : mask;
}

float constant_real(Network& n, size_t i, std::string_view attribute, float fallback) {
  if (n.node().has(attribute)) return n.node().real(attribute, fallback);
  const ValueId id = n.node().input(i);
  if (id == kNoValue) return fallback;
  const Tensor* t = n.graph().is_constant(id) ? &n.graph().constant(id) : nullptr;
  if (!t || t->count() != 1 || t->dtype() != DType::kF32) {
    n.refuse("its limits are not known");
    return fallback;
  }
  return t->as<float>()[0];
}

// Where the builder may compute it in half precision, whose squares overflow from 256 on: rows are first divided by
// their largest deviation m, then no square exceeds 1. (x − mean)/√(var + ε) is e/√(mean(e²) + ε/m²), e = (x − mean)/m.
nv::ITensor* layer_norm_of_parts(Network& n, nv::ITensor* x, nv::ITensor* scale, nv::ITensor* bias, uint32_t axes,
                                 float epsilon) {
  constexpr float kSmallest = 6.104e-5f;  // the least normal number of float16: a constant row is no 0/0
  nv::ITensor* e = n.binary(x, n.reduce(x, nv::ReduceOperation::kAVG, axes, true), Binary::kSUB);
  nv::ITensor* epsilon_there = n.scalar(epsilon, x);
  if (n.precision().half_flag) {
    nv::ITensor* largest = n.reduce(n.unary(e, Unary::kABS), nv::ReduceOperation::kMAX, axes, true);
    largest = n.binary(largest, n.scalar(kSmallest, x), Binary::kMAX);
    e = n.binary(e, largest, Binary::kDIV);
    nv::ITensor* root = n.binary(n.scalar(std::sqrt(epsilon), x), largest, Binary::kDIV);
    epsilon_there = n.binary(root, root, Binary::kPROD);
  }
  nv::ITensor* variance = n.reduce(n.binary(e, e, Binary::kPROD), nv::ReduceOperation::kAVG, axes, true);
  nv::ITensor* deviation = n.unary(n.binary(variance, epsilon_there, Binary::kSUM), Unary::kSQRT);
  nv::ITensor* y = n.binary(e, deviation, Binary::kDIV);
  return n.binary(n.binary(y, scale, Binary::kPROD), bias, Binary::kSUM);
}

bool is_for_plugin(const Network& n, const Node& norm) {
  const auto shape = [&](size_t i) { return *n.graph().value(norm.input(i)).shape; };
  if (!n.plugins().layer_norm || norm.input(2) == kNoValue) return false;
  const SymShape x = shape(0), row{x.back()};
  return axis_of(norm, -1, x.size()) + 1 == x.size() && row[0].is_fixed() && shape(1) == row && shape(2) == row;
}

// Whether a sum repeats it over the first axes, or not at all.
bool is_tail(const SymShape& shape, const SymShape& of) {
  const auto first = std::ranges::find_if(shape, [](const Dim& d) { return d != Dim::of(1); });
  const auto count = shape.end() - first;
  return count > 0 && count <= std::ssize(of) && std::equal(first, shape.end(), of.end() - count);
}

nv::ILayer* layer_norm_plugin(Network& n, const char* kind, std::vector<nv::ITensor*> inputs) {
  for (size_t i : {1, 2}) inputs.push_back(n.in(i, -1, nv::DataType::kFLOAT));
  return add_plugin(n.raw(), kind, layer_norm_numbers(n.node().real("epsilon", 1e-5f)), inputs);
}

}  // namespace

void emit_unary(Network& n) {
  nv::ITensor* x = n.in(0);
  const Op op = n.node().op;
  if (const auto unary = unary_of(op)) return n.set(0, n.unary(x, *unary));
  const auto type = activation_of(op);
  nv::IActivationLayer* layer = x && type ? n.raw().addActivation(*x, *type) : nullptr;
  if (!layer) return;
  if (op == Op::LeakyRelu) layer->setAlpha(n.node().real("alpha", 0.01f));
  if (op == Op::Softplus) {
    layer->setAlpha(1);
    layer->setBeta(1);
  }
  if (op == Op::HardSigmoid || op == Op::HardSwish) {
    layer->setAlpha(op == Op::HardSwish ? 1.0f / 6 : n.node().real("alpha", 0.2f));
    layer->setBeta(n.node().real("beta", 0.5f));
  }
  nv::ITensor* y = n.out(layer);
  n.set(0, op == Op::HardSwish ? n.binary(x, y, Binary::kPROD) : y);
}

void emit_binary(Network& n) {
  const Op op = n.node().op;
  nv::ITensor* y = n.in(0);
  for (size_t i = 1; i < n.node().inputs.size(); ++i) y = n.binary(y, n.in(i), *binary_of(op));
  if (op == Op::GreaterOrEqual || op == Op::LessOrEqual) y = n.unary(y, Unary::kNOT);
  n.set(0, y);
}

void emit_gelu(Network& n) {
  const std::string how = n.node().text("approximate", "none");
  n.set(0, n.activation(n.in(0), how == "none" ? std::string("gelu") : "gelu_" + how));
}

void emit_clip(Network& n) {
  nv::ITensor* x = n.in(0);
  nv::IActivationLayer* layer = x ? n.raw().addActivation(*x, Act::kCLIP) : nullptr;
  if (!layer) return;
  layer->setAlpha(constant_real(n, 1, "min", std::numeric_limits<float>::lowest()));
  layer->setBeta(constant_real(n, 2, "max", std::numeric_limits<float>::max()));
  n.set(0, n.out(layer));
}

void emit_cast(Network& n) {
  const DType to = n.graph().value(n.node().outputs[0]).dtype;
  std::optional<nv::DataType> type = type_of(to);
  if (to == DType::kF32 || to == DType::kF16 || to == DType::kBF16 || to == DType::kF64) type = n.compute();
  if (to == DType::kI64) type = nv::DataType::kINT32;
  if (!type) return void(n.refuse("TensorRT has no {}", dtype_name(to)));
  n.set(0, n.cast(n.in(0), *type));
}

void emit_where(Network& n) {
  const int rank = static_cast<int>(n.output_shape().size());
  nv::ITensor *condition = n.in(0, rank), *a = n.in(1, rank), *b = n.in(2, rank);
  if (condition && a && b) n.set(0, n.out(n.raw().addSelect(*condition, *a, *b)));
}

void emit_reduce(Network& n) {
  const Op op = n.node().op;
  const size_t rank = n.input_shape(0).size();
  nv::ITensor* x = n.in(0);
  if (op == Op::GlobalAveragePool)
    return n.set(0, n.reduce(x, nv::ReduceOperation::kAVG, ((1u << rank) - 1) & ~3u, true));
  const bool squares = op == Op::ReduceL2 || op == Op::ReduceSumSquare;
  if (n.node().integer("noop_with_empty_axes", 0) != 0) return void(n.refuse("noop_with_empty_axes is set"));
  const auto how = op == Op::ReduceMax    ? nv::ReduceOperation::kMAX
                   : op == Op::ReduceMin  ? nv::ReduceOperation::kMIN
                   : op == Op::ReduceMean ? nv::ReduceOperation::kAVG
                   : op == Op::ReduceProd ? nv::ReduceOperation::kPROD
                                          : nv::ReduceOperation::kSUM;
  const nv::DataType type = x ? x->getType() : n.compute();
  // Sums of squares overflow half precision first.
  if (squares) x = n.cast(x, nv::DataType::kFLOAT);
  if (squares) x = n.pinned(n.binary(x, x, Binary::kPROD));
  nv::ITensor* y = n.reduce(x, how, axes_mask(n, rank), n.node().integer("keepdims", 1) != 0);
  if (squares) y = n.pinned(y);
  if (op == Op::ReduceL2) y = n.pinned(n.unary(y, Unary::kSQRT));
  n.set(0, n.cast(y, type));
}

void emit_softmax(Network& n) {
  const size_t rank = n.input_shape(0).size();
  nv::ITensor* y = n.softmax(n.in(0), static_cast<int>(axis_of(n.node(), -1, rank)));
  n.set(0, n.node().op == Op::LogSoftmax ? n.unary(y, Unary::kLOG) : y);
}

const Node* norm_of_sum(const Network& n, size_t residual) {
  if (!n.has(residual) || !is_tail(n.input_shape(residual), n.output_shape())) return nullptr;
  const Node* norm = n.reader(n.node().outputs[0], Op::LayerNormalization);
  // It is told before what comes between the two: what else it reads must be there already.
  const bool ready = norm && is_for_plugin(n, *norm) && n.graph().is_constant(norm->input(1)) && n.graph().is_constant(norm->input(2));
  return ready ? norm : nullptr;
}

void set_sum(Network& n, nv::ITensor* y, size_t residual, bool are_rows) {
  const Node* norm = norm_of_sum(n, residual);
  if (norm && !are_rows && n.works_on_rows())
    if (nv::ITensor* rows = n.as_rows(y, n.output_shape())) y = rows, are_rows = true;
  if (are_rows && !norm && n.has(residual) && n.input_shape(residual) != n.output_shape()) {
    y = n.reshape(y, n.output_shape());  // rows are not repeated
    are_rows = false;
  }
  const auto set = [&](ValueId id, nv::ITensor* tensor) {
    are_rows ? n.set_rows_of(id, tensor) : n.set_value(id, tensor);
  };
  const ValueId sum = n.node().outputs[0];
  if (!n.has(residual)) return set(sum, y);
  nv::ITensor* more = are_rows ? n.rows(residual) : n.in(residual, static_cast<int>(n.output_shape().size()));
  if (!norm) return set(sum, n.binary(y, more, Binary::kSUM));
  const Network::Naming naming(n, *norm);
  nv::ILayer* both = layer_norm_plugin(n, kAddLayerNormPlugin, {y, more});
  set(sum, n.out(both));
  set(norm->outputs[0], both ? both->getOutput(1) : nullptr);
}

// In float32 whatever the rest computes in: squares of a large residual stream overflow half precision.
void emit_layer_norm(Network& n) {
  const size_t rank = n.input_shape(0).size();
  const int r = static_cast<int>(rank);
  const auto wide = nv::DataType::kFLOAT;
  uint32_t axes = 0;
  for (size_t a = axis_of(n.node(), -1, rank); a < rank; ++a) axes |= 1u << a;
  const float epsilon = n.node().real("epsilon", 1e-5f);
  if (is_for_plugin(n, n.node())) {
    if (nv::ITensor* rows = n.works_on_rows() ? n.rows(0) : nullptr)
      return n.set_rows(0, n.out(layer_norm_plugin(n, kLayerNormPlugin, {rows})));
    return n.set(0, n.out(layer_norm_plugin(n, kLayerNormPlugin, {n.in(0)})));
  }
  nv::ITensor* x = n.in(0, -1, wide);
  nv::ITensor* scale = n.in(1, r, wide);
  if (!x || !scale) return;
  nv::ITensor* bias = n.has(2) ? n.in(2, r, wide) : nullptr;
  if (!bias) {
    const std::vector<float> zeros(
        static_cast<size_t>(n.input_value(1).constant ? n.input_value(1).constant->count() : 0));
    Shape shape;
    for (int i = 0; i < r; ++i) shape.push_back(scale->getDimensions().d[i]);
    if (zeros.empty()) return void(n.refuse("its scale is not constant"));
    bias = n.floats(shape, zeros, wide);
  }
  if (!bias) return;
  nv::ITensor* y = n.out(add_normalization(n.raw(), *x, *scale, *bias, axes, epsilon));
  if (!kHasNormalization) y = layer_norm_of_parts(n, x, scale, bias, axes, epsilon);
  n.set(0, n.cast(y, n.compute()));
}

}  // namespace vitrail::tensorrt
