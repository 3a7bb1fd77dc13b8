// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/quantize.h"

#include <fmt/format.h>

#include "backends/cpu/step.h"
#include "graph/edit.h"

namespace vitrail::cpu {
namespace {

constexpr int32_t kHalf = 128;  // from int8 to uint8

bool is_byte(DType t) { return t == DType::kI8 || t == DType::kU8; }

// Bytes of this type: the kernels count from 0, and int8 flips the highest bit.
ByteScale bytes_of(DType type, float scale, int64_t zero) {
  const bool is_signed = type == DType::kI8;
  return {scale, static_cast<int32_t>(zero) + (is_signed ? kHalf : 0),
          static_cast<uint8_t>(is_signed ? kHalf : 0)};
}

bool is_scalar(const Graph& graph, ValueId id) {
  return graph.is_constant(id) && graph.constant(id).count() == 1;
}

int64_t zero_point(const Graph& graph, const Node& quantize) {
  if (quantize.input(2) == kNoValue) return 0;
  const Tensor& t = graph.constant(quantize.input(2));
  return t.dtype() == DType::kI8 ? int64_t{t.as<int8_t>()[0]} : int64_t{t.as<uint8_t>()[0]};
}

}  // namespace

std::optional<ByteScale> byte_scale(const Graph& graph, const Node& quantize) {
  const DType to = graph.value(quantize.outputs[0]).dtype;
  if (!is_byte(to) || graph.value(quantize.input(0)).dtype != DType::kF32 ||
      !is_scalar(graph, quantize.input(1)) || graph.value(quantize.input(1)).dtype != DType::kF32)
    return std::nullopt;
  if (quantize.input(2) != kNoValue &&
      (!is_scalar(graph, quantize.input(2)) || graph.value(quantize.input(2)).dtype != to))
    return std::nullopt;
  return bytes_of(to, graph.constant(quantize.input(1)).as<float>()[0], zero_point(graph, quantize));
}

bool can_write_bytes(const Graph& graph, const Node& node) {
  if (node.op != Op::LayerNormalization && node.op != Op::QuantizedLinear &&
      node.op != Op::MultiHeadAttention)
    return false;
  for (const KernelEntry& entry : entries())
    if (entry.op == node.op && entry.refuse(graph, node).empty()) return true;
  return false;
}

int fuse_quantizers(Graph& graph) {
  const UseMap uses(graph);
  std::vector<bool> dead(graph.nodes.size());
  int moved = 0;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& quantize = graph.nodes[i];
    if (quantize.op != Op::QuantizeLinear || !byte_scale(graph, quantize)) continue;
    const int at = uses.producer(quantize.input(0));
    if (at < 0 || !uses.has_one_use(quantize.input(0))) continue;
    Node& maker = graph.nodes[static_cast<size_t>(at)];
    if (!can_write_bytes(graph, maker)) continue;
    maker.outputs[0] = quantize.outputs[0];
    maker.attributes["q_scale"] = graph.constant(quantize.input(1)).as<float>()[0];
    maker.attributes["q_zero"] = zero_point(graph, quantize);
    dead[i] = true;
    ++moved;
  }
  remove_nodes(graph, dead);
  return moved;
}

std::optional<ByteScale> output_bytes(const Graph& graph, const Node& node) {
  const DType type = graph.value(node.outputs[0]).dtype;
  if (!is_byte(type)) return std::nullopt;
  return bytes_of(type, node.real("q_scale", 1), node.integer("q_zero", 0));
}

std::string refuse_output(const Graph& graph, const Node& node) {
  const DType type = graph.value(node.outputs[0]).dtype;
  if (type == DType::kF32) return "";
  if (!is_byte(type) || !node.has("q_scale")) return fmt::format("output is {}", dtype_name(type));
  const int32_t zero = output_bytes(graph, node)->zero;
  return zero >= 0 && zero <= 255 ? ""
                                  : fmt::format("zero point {} is beyond a byte", node.integer("q_zero", 0));
}

}  // namespace vitrail::cpu
