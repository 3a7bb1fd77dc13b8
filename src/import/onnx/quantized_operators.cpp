// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/quantized_operators.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "import/onnx/model_file.h"
#include "import/onnx/node_order.h"
#include "import/onnx/normalise.h"

namespace vitrail::onnx_import {
namespace {

using onnx::AttributeProto;
using onnx::NodeProto;

// TensorProto.DataType
constexpr int64_t kUInt8 = 2, kInt32 = 6, kDouble = 11, kFloat8E4M3 = 17;

constexpr const char *kOnnx = "", *kMicrosoft = "com.microsoft", *kTensorRt = "trt";

const AttributeProto* find_attribute(const NodeProto& node, std::string_view name) {
  const auto at = std::ranges::find_if(node.attribute(), [&](const auto& a) { return a.name() == name; });
  return at == node.attribute().end() ? nullptr : &*at;
}

void set_integer(NodeProto& node, const char* name, int64_t value) {
  AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(AttributeProto::INT);
  a.set_i(value);
}

class Restater {
 public:
  explicit Restater(onnx::ModelProto& model) : graph_(*model.mutable_graph()) {}

  Result<int> run() {
    if (std::ranges::none_of(graph_.node(), [](const NodeProto& n) { return find_rule(n) != nullptr; })) return 0;
    for (const auto& v : graph_.input()) names_.reserve(v.name());
    for (const auto& v : graph_.initializer()) names_.reserve(v.name());
    for (const auto& n : graph_.node())
      for (const auto& v : n.output()) names_.reserve(v);
    int restated = 0;
    for (NodeProto& node : *graph_.mutable_node()) {
      const Rule* rule = find_rule(node);
      if (!rule) {
        out_.Add(std::move(node));
        continue;
      }
      if (Status status = apply(*rule, node); !status.ok())
        return status.with_context(fmt::format("layer '{}' ({})", layer_name(node), node.op_type()));
      const bool is_pair = rule->apply == &Restater::same || std::string_view(rule->domain) == kTensorRt;  // Q/DQ under other names
      restated += !is_pair;
    }
    *graph_.mutable_node() = std::move(out_);
    return restated;
  }

 private:
  struct Rule {
    const char *domain, *op;
    int least, most;     // inputs
    const char* restated;  // the operator in floats
    void (Restater::*apply)(const NodeProto&, const char* op);
  };
  static const Rule kRules[];

  static const Rule* find_rule(const NodeProto& node) {
    for (const Rule* rule = kRules; rule->op; ++rule)
      if (node.op_type() == rule->op &&
          (is_default_domain(node.domain()) ? std::string_view(rule->domain).empty() : node.domain() == rule->domain))
        return rule;
    return nullptr;
  }

  Status apply(const Rule& rule, const NodeProto& node) {
    if (node.input_size() < rule.least || node.input_size() > rule.most)
      return bad_input("has {} inputs, needs {} to {}", node.input_size(), rule.least, rule.most);
    if (node.output_size() < 1) return bad_input("has no output");
    if (const auto* last = find_attribute(node, "channels_last"); last && last->i() != 0)
      return bad_input("has its channels last, as ONNX Runtime's optimizer makes it: give the model from before it ran");
    lacks_zero_point_ = false;
    (this->*rule.apply)(node, rule.restated);
    return lacks_zero_point_ ? bad_input("lacks the zero point of its output, which tells its type: quantize it again") : Status();
  }

  NodeProto& add(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                 const std::string& output) {
    NodeProto& node = *out_.Add();
    node.set_op_type(op);
    node.set_name(name);
    for (const auto& i : inputs) node.add_input(i);
    while (node.input_size() > 0 && node.input(node.input_size() - 1).empty()) node.mutable_input()->RemoveLast();
    node.add_output(output);
    return node;
  }
  // A step on the way, with the value that it makes.
  std::string step(const NodeProto& of, const std::string& suffix, const std::string& op,
                   const std::vector<std::string>& inputs) {
    const std::string name = layer_name(of) + "." + suffix;
    return add(op, name, inputs, names_.make(name)).output(0);
  }
  std::string cast(const NodeProto& of, const std::string& suffix, const std::string& x, int64_t to) {
    const std::string y = step(of, suffix, "Cast", {x});
    set_integer(last(), "to", to);
    return y;
  }
  std::string real(const NodeProto& of, const std::string& suffix, float value) {
    const std::string y = step(of, suffix, "Constant", {});
    AttributeProto& a = *last().add_attribute();
    a.set_name("value_float");
    a.set_type(AttributeProto::FLOAT);
    a.set_f(value);
    return y;
  }
  NodeProto& last() { return *out_.Mutable(out_.size() - 1); }
  static std::string input(const NodeProto& node, int i) { return i < node.input_size() ? node.input(i) : ""; }

  // Inputs i to i + 2 (numbers, scale, zero point) as floats.
  std::string dequantize(const NodeProto& node, int i, int64_t axis = 1) {
    const std::string y = step(node, fmt::format("dequantize_{}", i), "DequantizeLinear",
                               {input(node, i), input(node, i + 1), input(node, i + 2)});
    set_integer(last(), "axis", axis);
    return y;
  }
  // The node's output out of x with the scale and zero point that are inputs i and i + 1.
  void quantize(const NodeProto& node, const std::string& x, int i) {
    lacks_zero_point_ |= input(node, i + 1).empty();
    add("QuantizeLinear", layer_name(node) + ".quantize", {x, input(node, i), input(node, i + 1)}, node.output(0));
  }
  // The layer itself, in floats, with its attributes. Returns its value.
  std::string compute(const NodeProto& node, const char* op, const std::vector<std::string>& inputs) {
    const std::string y = names_.make(layer_name(node) + ".float");
    NodeProto& made = add(op, layer_name(node), inputs, y);
    for (const auto& a : node.attribute())
      if (a.name() != "channels_last" && a.name() != "opset") *made.add_attribute() = a;
    return y;
  }
  std::string scale_of_sums(const NodeProto& node, int a, int b, float factor = 1) {
    const std::string product = step(node, "bias_scale", "Mul", {input(node, a), input(node, b)});
    return factor == 1 ? product
                       : step(node, "bias_scale_alpha", "Mul", {product, real(node, "alpha", factor)});
  }

  // (x, scale, zero)… → y with the scale and zero point behind them.
  void unary(const NodeProto& node, const char* op) { quantize(node, compute(node, op, {dequantize(node, 0)}), 3); }
  void binary(const NodeProto& node, const char* op) {
    const std::string a = dequantize(node, 0), b = dequantize(node, 3);
    quantize(node, compute(node, op, {a, b}), 6);
  }
  void softmax(const NodeProto& node, const char* op) {
    unary(node, op);
    NodeProto& made = *out_.Mutable(out_.size() - 2);
    if (!find_attribute(made, "axis")) set_integer(made, "axis", -1);
  }
  void matmul(const NodeProto& node, const char* op) {
    const std::string a = dequantize(node, 0, -2), b = dequantize(node, 3, -1);
    quantize(node, compute(node, op, {a, b}), 6);
  }
  void conv(const NodeProto& node, const char* op) {
    const std::string x = dequantize(node, 0), w = dequantize(node, 3, 0);
    std::string bias;
    if (!input(node, 8).empty()) {
      bias = step(node, "bias", "DequantizeLinear", {input(node, 8), scale_of_sums(node, 1, 4)});
      set_integer(last(), "axis", 0);
    }
    quantize(node, compute(node, op, {x, w, bias}), 6);
  }
  void gemm(const NodeProto& node, const char* op) {
    const AttributeProto *transposed = find_attribute(node, "transB"), *alpha = find_attribute(node, "alpha");
    const std::string a = dequantize(node, 0), b = dequantize(node, 3, transposed && transposed->i() ? 0 : 1);
    std::string c;
    if (!input(node, 6).empty()) {
      c = step(node, "bias", "DequantizeLinear",
               {input(node, 6), scale_of_sums(node, 1, 4, alpha ? alpha->f() : 1)});
      set_integer(last(), "axis", -1);
    }
    const std::string y = compute(node, op, {a, b, c});
    if (input(node, 7).empty())
      *last().mutable_output(0) = node.output(0);
    else
      quantize(node, y, 7);
  }
  void concat(const NodeProto& node, const char* op) {
    std::vector<std::string> parts;
    for (int i = 2; i < node.input_size(); i += 3) parts.push_back(dequantize(node, i));
    quantize(node, compute(node, op, parts), 0);
  }
  void where(const NodeProto& node, const char* op) {
    const std::string x = dequantize(node, 1), y = dequantize(node, 4);
    quantize(node, compute(node, op, {input(node, 0), x, y}), 7);
  }
  void same(const NodeProto& node, const char* op) {
    NodeProto& made = *out_.Add() = node;
    made.set_op_type(op);
    made.clear_domain();
  }

  // Input i less the zero point that is input i + 2, in another type. A vector of zero points lies along an axis,
  // behind which are `behind` more.
  std::string centred(const NodeProto& node, int i, int64_t type, int behind) {
    const std::string suffix = i == 0 ? "left" : "right", zero = input(node, i + 2);
    const std::string x = cast(node, suffix, input(node, i), type);
    if (zero.empty()) return x;
    std::string z = cast(node, suffix + "_zero", zero, type);
    if (behind > 0 && is_vector(zero)) {
      const std::string axes = step(node, suffix + "_axes", "Constant", {});
      AttributeProto& a = *last().add_attribute();
      a.set_name("value_ints");
      a.set_type(AttributeProto::INTS);
      for (int k = 1; k <= behind; ++k) a.add_ints(k);
      z = step(node, suffix + "_zeros", "Unsqueeze", {z, axes});
    }
    return step(node, suffix + "_centred", "Sub", {x, z});
  }
  bool is_vector(const std::string& name) const {
    const auto at = std::ranges::find_if(graph_.initializer(), [&](const auto& t) { return t.name() == name; });
    return at != graph_.initializer().end() && at->dims_size() == 1 && at->dims(0) > 1;
  }
  void matmul_integer(const NodeProto& node, const char* op) {
    const std::string a = centred(node, 0, kInt32, 1), b = centred(node, 1, kInt32, 0);
    add(op, layer_name(node), {a, b}, node.output(0));
  }
  void conv_integer(const NodeProto& node, const char* op) {
    const std::string x = centred(node, 0, kDouble, 0), w = centred(node, 1, kDouble, 3);
    const std::string sums = compute(node, op, {x, w});
    add("Cast", layer_name(node) + ".integer", {sums}, node.output(0));
    set_integer(last(), "to", kInt32);
  }

  // https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html, "Function Body". Outputs: y, scale, zero point.
  void dynamic_quantize(const NodeProto& node, const char* op) {
    const std::string x = input(node, 0), zero = real(node, "0", 0), full = real(node, "255", 255);
    auto reduced = [&](const char* suffix, const char* reduce) {
      const std::string y = step(node, suffix, reduce, {x});
      set_integer(last(), "keepdims", 0);
      return y;
    };
    const std::string least = step(node, "least", "Min", {reduced("min", "ReduceMin"), zero});
    const std::string most = step(node, "most", "Max", {reduced("max", "ReduceMax"), zero});
    auto named = [&](int i, const char* suffix) {
      const bool given = i < node.output_size() && !node.output(i).empty();
      return given ? node.output(i) : names_.make(layer_name(node) + suffix);
    };
    const std::string scale = named(1, ".scale"), point = named(2, ".zero_point");
    add("Div", layer_name(node) + ".scale", {step(node, "range", "Sub", {most, least}), full}, scale);
    const std::string shifted = step(node, "shift", "Sub", {zero, step(node, "steps", "Div", {least, scale})});
    const std::string whole = step(node, "round", "Round", {step(node, "clip", "Clip", {shifted, zero, full})});
    add("Cast", layer_name(node) + ".zero_point", {whole}, point);
    set_integer(last(), "to", kUInt8);
    add(op, layer_name(node), {x, scale, point}, named(0, ".numbers"));
  }

  void fp8_quantize(const NodeProto& node, const char* op) {
    same(node, op);
    set_integer(last(), "output_dtype", kFloat8E4M3);
  }
  void fp8_dequantize(const NodeProto& node, const char* op) {
    // Weights of that type may be stored as the bytes that they are.
    for (auto& tensor : *graph_.mutable_initializer())
      if (tensor.name() == input(node, 0) && tensor.data_type() == kUInt8)
        tensor.set_data_type(static_cast<int32_t>(kFloat8E4M3));
    same(node, op);
  }

  onnx::GraphProto& graph_;
  UniqueNames names_;
  bool lacks_zero_point_ = false;
  google::protobuf::RepeatedPtrField<NodeProto> out_;
};

constexpr int kAny = 1 << 20;

const Restater::Rule Restater::kRules[] = {
    {kOnnx, "QLinearMatMul", 8, 8, "MatMul", &Restater::matmul},
    {kOnnx, "QLinearConv", 8, 9, "Conv", &Restater::conv},
    {kOnnx, "MatMulInteger", 2, 4, "MatMul", &Restater::matmul_integer},
    {kOnnx, "ConvInteger", 2, 4, "Conv", &Restater::conv_integer},
    {kOnnx, "DynamicQuantizeLinear", 1, 1, "QuantizeLinear", &Restater::dynamic_quantize},
    {kMicrosoft, "QGemm", 6, 9, "Gemm", &Restater::gemm},
    {kMicrosoft, "QLinearAdd", 7, 8, "Add", &Restater::binary},
    {kMicrosoft, "QLinearMul", 7, 8, "Mul", &Restater::binary},
    {kMicrosoft, "QLinearSigmoid", 4, 5, "Sigmoid", &Restater::unary},
    {kMicrosoft, "QLinearLeakyRelu", 4, 5, "LeakyRelu", &Restater::unary},
    {kMicrosoft, "QLinearSoftmax", 4, 5, "Softmax", &Restater::softmax},
    {kMicrosoft, "QLinearAveragePool", 4, 5, "AveragePool", &Restater::unary},
    {kMicrosoft, "QLinearGlobalAveragePool", 5, 5, "GlobalAveragePool", &Restater::unary},
    {kMicrosoft, "QLinearReduceMean", 4, 5, "ReduceMean", &Restater::unary},
    {kMicrosoft, "QLinearConcat", 5, kAny, "Concat", &Restater::concat},
    {kMicrosoft, "QLinearWhere", 9, 9, "Where", &Restater::where},
    {kMicrosoft, "QuantizeLinear", 2, 3, "QuantizeLinear", &Restater::same},
    {kMicrosoft, "DequantizeLinear", 2, 3, "DequantizeLinear", &Restater::same},
    {kTensorRt, "TRT_FP8QuantizeLinear", 2, 2, "QuantizeLinear", &Restater::fp8_quantize},
    {kTensorRt, "TRT_FP8DequantizeLinear", 2, 2, "DequantizeLinear", &Restater::fp8_dequantize},
    {nullptr, nullptr, 0, 0, nullptr, nullptr},
};

}  // namespace

Result<int> restate_quantized(onnx::ModelProto& model) { return Restater(model).run(); }

}  // namespace vitrail::onnx_import
