// SPDX-License-Identifier: Apache-2.0
#include "passes/quantization_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/float8.h"
#include "graph/infer.h"
#include "passes/fuse_matmul_integer.h"
#include "passes/fuse_quantized.h"
#include "passes/quantized_weight.h"

namespace vitrail {
namespace {

// One side of a product, as far back as its quantization.
struct Operand {
  const Node* node = nullptr;    // the DequantizeLinear or Cast that widens the numbers; null: not quantized
  ValueId numbers = kNoValue;
  DType dtype = DType::kUndefined;
  bool is_constant = false;
  bool swapped = false;          // an odd number of transpositions of a matrix lies between
  bool dynamic = false;          // a scale or zero point that is known only at run time
  int64_t scales = 1, block = 0, axis = 1;
  DType scale_type = DType::kF32;
  const Tensor* zero = nullptr;
};

class Reporter {
 public:
  explicit Reporter(const Graph& graph) : graph_(graph), uses_(graph) {}

  QuantizationReport run() {
    QuantizationReport report;
    for (const Node& node : graph_.nodes) {
      if (node.op != Op::MatMul && node.op != Op::Gemm && node.op != Op::Conv) continue;
      const Operand left = trace(node.input(0)), right = trace(node.input(1));
      quantized_ |= left.node || right.node;
      report.has_float8 |= is_float8(left.dtype) || is_float8(right.dtype);
      count_weights(right, report);
      report.products.push_back({node.name, std::string(op_name(node.op)), text(left, node.input(0)),
                                 text(right, node.input(1)), false, reason(node, left, right)});
    }
    if (!quantized_) report = {};
    return report;
  }

 private:
  const Node* producer(ValueId id) const {
    const int n = id == kNoValue ? -1 : uses_.producer(id);
    return n < 0 ? nullptr : &graph_.nodes[static_cast<size_t>(n)];
  }

  // Through what moves numbers only.
  Operand trace(ValueId id) const {
    Operand o;
    const Node* node = producer(id);
    while (node && (node->op == Op::Transpose || node->op == Op::Reshape || node->op == Op::Identity ||
                    node->op == Op::Squeeze || node->op == Op::Unsqueeze || node->op == Op::Slice)) {
      if (swaps_axes(*node)) o.swapped = !o.swapped;
      node = producer(node->input(0));
    }
    ValueId zero = kNoValue;
    if (node && node->op == Op::Sub && is_integer_cast(producer(node->input(0)))) {  // of a MatMulInteger
      const Node* z = producer(node->input(1));
      while (z && (z->op == Op::Unsqueeze || z->op == Op::Cast)) {
        zero = z->input(0);
        z = producer(zero);
      }
      node = producer(node->input(0));
    }
    if (node && node->op == Op::DequantizeLinear)
      describe(*node, o);
    else if (is_integer_cast(node))
      describe_cast(*node, zero, o);
    return o;
  }

  bool is_integer_cast(const Node* node) const {
    if (!node || node->op != Op::Cast) return false;
    const DType to = dtype_from_onnx(node->integer("to", 0)), from = type_of(node->input(0));
    return (to == DType::kI32 || to == DType::kF64) && (from == DType::kI8 || from == DType::kU8);
  }

  // Of numbers: their own, or that of the QuantizeLinear that makes them.
  DType type_of(ValueId numbers) const {
    if (graph_.value(numbers).dtype != DType::kUndefined) return graph_.value(numbers).dtype;
    const Node* maker = producer(numbers);
    while (maker && has_trait(maker->op, kMovement) && maker->op != Op::Cast) maker = producer(maker->input(0));
    if (!maker || maker->op != Op::QuantizeLinear) return DType::kUndefined;
    if (graph_.is_constant(maker->input(2))) return graph_.constant(maker->input(2)).dtype();
    const int64_t told = maker->integer("output_dtype", 0);
    return told == 0 ? DType::kU8 : dtype_from_onnx(told);
  }

  void describe(const Node& node, Operand& o) const {
    o.node = &node;
    o.numbers = node.input(0);
    if (graph_.is_constant(node.input(2))) o.zero = &graph_.constant(node.input(2));
    o.dtype = o.zero ? o.zero->dtype() : type_of(o.numbers);
    const Node* maker = producer(o.numbers);
    o.is_constant = graph_.is_constant(o.numbers) || (maker && maker->op == Op::QuantizeLinear && graph_.is_constant(maker->input(0)));
    o.dynamic = !graph_.is_constant(node.input(1)) || (node.input(2) != kNoValue && !o.zero);
    if (graph_.is_constant(node.input(1))) {
      o.scales = graph_.constant(node.input(1)).count();
      o.scale_type = graph_.constant(node.input(1)).dtype();
    }
    o.block = node.integer("block_size", 0);
    o.axis = node.integer("axis", 1);
  }

  void describe_cast(const Node& node, ValueId zero, Operand& o) const {
    o.node = &node;
    o.numbers = node.input(0);
    o.dtype = type_of(o.numbers);
    o.is_constant = graph_.is_constant(o.numbers);
    if (graph_.is_constant(zero)) o.zero = &graph_.constant(zero);
    o.dynamic = zero != kNoValue && !o.zero;
  }

  std::string text(const Operand& o, ValueId id) const {
    if (!o.node) {
      const DType dtype = graph_.value(id).dtype;
      return dtype == DType::kUndefined ? "float" : std::string(dtype_name(dtype));
    }
    const std::string_view type = dtype_name(o.dtype);
    if (o.dynamic) return fmt::format("{} dynamic", type);
    if (o.block > 0) return fmt::format("{} in blocks of {}", type, o.block);
    return fmt::format("{} per {}", type, o.scales == 1 ? "tensor" : "channel");
  }

  void count_weights(const Operand& o, QuantizationReport& report) {
    if (!o.node || !o.is_constant || dtype_size(o.dtype) != 1 || !counted_.insert(o.numbers).second) return;
    const ValueId source = graph_.is_constant(o.numbers) ? o.numbers : producer(o.numbers)->input(0);
    report.weight_bytes += graph_.constant(source).count();
  }

  // Of weights; the zero point that is not in the middle of their type, where there is one.
  static std::optional<int> odd_zero(const Operand& o) {
    const bool is_signed = o.dtype == DType::kI8;
    const int middle = is_signed || o.node->op == Op::Cast ? 0 : 128;
    if (o.node->op == Op::Cast) return std::nullopt;  // what counts there are the numbers less their zero point
    if (!o.zero) return middle == 0 ? std::nullopt : std::optional(0);
    for (int64_t i = 0; i < o.zero->count(); ++i) {
      const auto at = static_cast<size_t>(i);
      const int z = is_signed ? o.zero->as<int8_t>()[at] : o.zero->as<uint8_t>()[at];
      if (z != middle) return z;
    }
    return std::nullopt;
  }

  static std::string reason(const Node& node, const Operand& left, const Operand& right) {
    if (!left.node && !right.node) return "the model does not quantize it";
    for (const Operand* o : {&left, &right})
      if (is_float8(o->dtype)) return fmt::format("its numbers are {}, which are dequantized", dtype_name(o->dtype));
    if (!left.node) return "its activation is not quantized";
    if (!right.node) return "its right side is not quantized";
    if (!right.is_constant) return "both of its sides are activations; build --precision int8 multiplies bytes where it recognises the attention";
    if (node.op == Op::Conv) return "a convolution; only MatMul and Gemm become integer products";
    const std::string refused = refuse_activation(left);
    return refused.empty() ? refuse_weights(node, right) : refused;
  }

  static std::string refuse_activation(const Operand& o) {
    if (o.dtype != DType::kI8 && o.dtype != DType::kU8)
      return fmt::format("its activation is {}", dtype_name(o.dtype));
    if (o.scales > 1) return "its activation has a scale for each channel";
    if (o.node->op == Op::DequantizeLinear && o.dynamic) return "the scale of its activation is not constant";
    if (o.scale_type != DType::kF32) return fmt::format("the scale of its activation is {}", dtype_name(o.scale_type));
    return "";
  }

  static std::string refuse_weights(const Node& node, const Operand& o) {
    if (o.dtype != DType::kI8 && o.dtype != DType::kU8) return fmt::format("its weights are {}", dtype_name(o.dtype));
    if (o.block > 0) return fmt::format("its weights have a scale for each block of {}", o.block);
    if (const auto zero = odd_zero(o))
      return fmt::format("its weights have the zero point {}, which would take the sums of the activation's rows", *zero);
    const bool transposed = o.swapped != (node.op == Op::Gemm && node.integer("transB", 0) != 0);
    if (o.scales > 1 && (o.axis % 2 == 0) != transposed)
      return "the scales of its weights lie along the axis that is summed";
    if (o.scale_type != DType::kF32) return fmt::format("the scale of its weights is {}", dtype_name(o.scale_type));
    if (o.node->op == Op::Cast) return "its weights less their zero point do not fit in int8, or its sums are read as integers";
    return "its form is none that integer products are made of";
  }

  const Graph& graph_;
  UseMap uses_;
  std::set<ValueId> counted_;
  bool quantized_ = false;
};

}  // namespace

QuantizationReport describe_quantization(const Graph& imported) { return Reporter(imported).run(); }

void find_integer_products(const Graph& simplified, QuantizationReport& report) {
  if (report.products.empty()) return;
  Graph graph = simplified;
  fuse_quantized(graph);
  fuse_matmul_integer(graph);
  std::set<std::string_view> made;
  for (const Node& node : graph.nodes)
    if (node.op == Op::QuantizedLinear) made.insert(node.name);
  for (ProductReport& p : report.products) {
    p.integer = made.contains(p.name);
    if (p.integer) p.reason.clear();
  }
}

}  // namespace vitrail
