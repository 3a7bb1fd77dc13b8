// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "backends/cpu/quantize.h"
#include "backends/cpu/steps/steps.h"
#include "core/error.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"

namespace vitrail::cpu {
namespace {

constexpr size_t kScale = 2;   // inputs of a QuantizedLinear
constexpr size_t kStarts = 5;  // column_starts, made by prepare

int64_t padded_columns(int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; }

// int8 is read as uint8 that is 128 more.
uint8_t flip_of(const Graph& graph, ValueId x) {
  return graph.value(x).dtype == DType::kI8 ? uint8_t{128} : uint8_t{0};
}

class QuantizedLinearStep : public Step {
 public:
  QuantizedLinearStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        bias_(bias_of(node)),
        residual_(residual_of(node)),
        weight_(node.input(1)),
        starts_(node.input(kStarts)),
        y_(node.outputs[0]),
        rows_(*rows_of(graph, x_)),
        bytes_(output_bytes(graph, node)) {
    args_.k = args_.lda = extent(graph, x_, -1).fixed;
    args_.n = args_.ldc = args_.ldr = node.integer("packed_n", 0);
    args_.a_flip = flip_of(graph, x_);
    args_.activation = *activation_from_name(node.text("activation", "none"));
    const float x_scale = node.real("x_scale", 1);
    for (const float w_scale : graph.constant(node.input(kScale)).as<float>())
      scale_.push_back(x_scale * w_scale);
    if (bytes_) args_.bytes = *bytes_;
  }

  int64_t scratch_bytes(int64_t batch, int threads) const override {
    return static_cast<int64_t>(integer_gemm_scratch_bytes(rows_.at(batch), args_.n, args_.k, threads));
  }

  Status run(const RunState& s) const override {
    IntegerGemmArgs args = args_;
    args.a = s.data<const uint8_t>(x_);
    args.b_packed = s.data<const int8_t>(weight_);
    args.start = s.data<const int32_t>(starts_);
    args.scale = scale_.data();
    args.bias = s.data(bias_);
    args.residual = s.data(residual_);
    args.c = bytes_ ? nullptr : s.data(y_);
    args.q = bytes_ ? s.data<uint8_t>(y_) : nullptr;
    args.m = rows_.at(s.batch);
    integer_gemm(s.kernels, s.pool, args, reinterpret_cast<uint8_t*>(s.scratch));
    return {};
  }

 private:
  ValueId x_, bias_, residual_, weight_, starts_, y_;
  Dim rows_;
  std::optional<ByteScale> bytes_;
  IntegerGemmArgs args_{};
  std::vector<float> scale_;  // of x times that of each column
};

class QuantizeStep : public Step {
 public:
  QuantizeStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        y_(node.outputs[0]),
        count_(*element_count(*graph.value(x_).shape)),
        scale_(*byte_scale(graph, node)) {}
  Status run(const RunState& s) const override {
    quantize(s.kernels, s.pool, s.data(x_), count_.at(s.batch), scale_, s.data<uint8_t>(y_));
    return {};
  }

 private:
  ValueId x_, y_;
  Dim count_;
  ByteScale scale_;
};

// A packed weight and its starts must fit; one that is still as imported is checked by shape inference.
std::string refuse_weight(const Graph& graph, const Node& node, int64_t k) {
  if (!graph.is_constant(node.input(1)) || graph.value(node.input(1)).dtype != DType::kI8 ||
      !graph.is_constant(node.input(kScale)))
    return "weight or its scale is not a constant";
  if (!node.has("packed_n")) return graph.constant(node.input(1)).rank() == 2 ? "" : "weight is not a matrix";
  const int64_t n = node.integer("packed_n", 0);
  const Tensor& w = graph.constant(node.input(1));
  if (extent(graph, node.outputs[0], -1) != Dim::of(n) ||
      w.bytes() != packed_bytes(k, n) || graph.constant(node.input(kScale)).count() != n ||
      !graph.is_constant(node.input(kStarts)) || graph.constant(node.input(kStarts)).dtype() != DType::kI32 ||
      graph.constant(node.input(kStarts)).count() != padded_columns(n))
    return "packed weight does not fit";
  return "";
}

}  // namespace

std::string refuse_quantized_linear(const Graph& graph, const Node& node) {
  const DType x = graph.value(node.input(0)).dtype;
  if (x != DType::kI8 && x != DType::kU8) return "input is not of 8 bits";
  if (!extent(graph, node.input(0), -1).is_fixed()) return "inner extent depends on the batch";
  const int64_t k = extent(graph, node.input(0), -1).fixed;
  if (k > kMostDepth) return fmt::format("sums of {} products may leave 32 bits; the most is {}", k, kMostDepth);
  const std::string activation = node.text("activation", "none");
  if (!activation_from_name(activation)) return fmt::format("no epilogue for activation '{}'", activation);
  if (std::string reason = refuse_output(graph, node); !reason.empty()) return reason;
  return refuse_weight(graph, node, k);
}

void prepare_quantized_linear(Graph& graph, Node& node) {
  const std::string name = graph.value(node.input(1)).name;
  const Tensor weight = graph.constant(node.input(1));
  const int64_t k = weight.dim(0), n = weight.dim(1);
  const int8_t* w = weight.as<int8_t>().data();
  Tensor packed(DType::kI8, {padded_columns(n) / kPanel, static_cast<int64_t>(packed_bytes(k, kPanel)) / (4 * kPanel),
                             4 * kPanel});
  Tensor starts(DType::kI32, {padded_columns(n)});
  pack_s8(w, k, n, static_cast<int8_t*>(packed.mutable_data()));
  const auto zero = static_cast<int32_t>(node.integer("x_zero_point", 0)) + flip_of(graph, node.input(0));
  column_starts(w, k, n, zero, static_cast<int32_t*>(starts.mutable_data()));
  node.inputs.resize(kStarts + 1, kNoValue);
  node.inputs[1] = add_weight(graph, name + ".packed", std::move(packed));
  node.inputs[kStarts] = add_weight(graph, name + ".starts", std::move(starts));
  node.attributes["packed_n"] = n;
}

std::unique_ptr<Step> make_quantized_linear(const Graph& graph, const Node& node) {
  return std::make_unique<QuantizedLinearStep>(graph, node);
}

std::string refuse_quantize(const Graph& graph, const Node& node) {
  return byte_scale(graph, node) ? "" : "not from float32 to 8 bits with one constant scale";
}

std::unique_ptr<Step> make_quantize(const Graph& graph, const Node& node) {
  return std::make_unique<QuantizeStep>(graph, node);
}

}  // namespace vitrail::cpu
