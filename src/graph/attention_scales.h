// SPDX-License-Identifier: Apache-2.0
// How a model quantizes the two products of an attention: attributes of MultiHeadAttention, made where Q/DQ
// pairs stand around both operands of both products. A backend may multiply those integers or compute in
// floats.
#pragma once

#include <optional>

#include "graph/graph.h"

namespace vitrail {

// x is (q - zero) * scale with q a uint8; an int8 is counted from 128 on.
struct ByteRange {
  float scale = 1;
  int64_t zero = 0;
};

// Of q and k as they lie in their sources, of the softmax, and of v.
struct AttentionScales {
  ByteRange query, key, weights, value;
};

inline std::optional<ByteRange> byte_range(const Node& node, const std::string& operand) {
  const float scale = node.real(operand + "_scale", 0);
  if (!(scale > 0)) return std::nullopt;
  return ByteRange{scale, node.integer(operand + "_zero", 0)};
}

inline void set_byte_range(Node& node, const std::string& operand, const ByteRange& range) {
  node.attributes[operand + "_scale"] = range.scale;
  node.attributes[operand + "_zero"] = range.zero;
}

inline std::optional<AttentionScales> attention_scales(const Node& attention) {
  const auto query = byte_range(attention, "query"), key = byte_range(attention, "key"),
             weights = byte_range(attention, "weights"), value = byte_range(attention, "value");
  if (!query || !key || !weights || !value) return std::nullopt;
  return AttentionScales{*query, *key, *weights, *value};
}

inline void set_attention_scales(Node& attention, const AttentionScales& scales) {
  set_byte_range(attention, "query", scales.query);
  set_byte_range(attention, "key", scales.key);
  set_byte_range(attention, "weights", scales.weights);
  set_byte_range(attention, "value", scales.value);
}

}  // namespace vitrail
