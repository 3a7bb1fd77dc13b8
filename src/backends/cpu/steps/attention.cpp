// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "backends/cpu/quantize.h"
#include "backends/cpu/steps/steps.h"
#include "graph/attention_scales.h"

namespace vitrail::cpu {
namespace {

class AttentionStep : public Step {
 public:
  AttentionStep(const Graph& graph, const Node& node)
      : q_(node.input(0)),
        k_(node.input(1)),
        v_(node.input(2)),
        mask_(node.input(3)),
        out_(node.outputs[0]),
        batch_(extent(graph, q_, 0)),
        sq_(extent(graph, q_, 1).fixed),
        sk_(extent(graph, k_, 1).fixed),
        q_offset_(node.integer("q_offset", 0)),
        k_offset_(node.integer("k_offset", 0)),
        v_offset_(node.integer("v_offset", 0)),
        bytes_(output_bytes(graph, node)) {
    args_.heads = node.integer("heads", 1);
    args_.d = node.integer("head_dim", 0);
    args_.dv = node.integer("v_head_dim", args_.d);
    args_.sq = sq_;
    args_.sk = sk_;
    args_.scale = node.real("scale", 1 / std::sqrt(static_cast<float>(args_.d)));
    args_.q_row = extent(graph, q_, 2).fixed;
    args_.k_row = extent(graph, k_, 2).fixed;
    args_.v_row = extent(graph, v_, 2).fixed;
    args_.out_row = args_.heads * args_.dv;
    args_.q_batch = sq_ * args_.q_row;
    args_.k_batch = sk_ * args_.k_row;
    args_.v_batch = sk_ * args_.v_row;
    args_.out_batch = sq_ * args_.out_row;
    if (bytes_) args_.bytes = *bytes_;
    if (mask_ != kNoValue) set_mask_strides(*graph.value(mask_).shape);
  }

  int64_t scratch_bytes(int64_t batch, int threads) const override {
    return static_cast<int64_t>(attention_scratch_floats(at(batch), threads) * sizeof(float));
  }

  Status run(const RunState& s) const override {
    AttentionArgs args = at(s.batch);
    args.q = s.data(q_) + q_offset_;
    args.k = s.data(k_) + k_offset_;
    args.v = s.data(v_) + v_offset_;
    args.mask = s.data(mask_);
    args.out = bytes_ ? nullptr : s.data(out_);
    args.out_bytes = bytes_ ? s.data<uint8_t>(out_) : nullptr;
    attention(s.kernels, s.pool, args, s.scratch_floats());
    return {};
  }

 private:
  AttentionArgs at(int64_t batch) const {
    AttentionArgs args = args_;
    args.batch = batch_.at(batch);
    return args;
  }

  // The mask broadcasts to [B, H, Sq, Sk]; an absent axis or one of extent 1 has stride 0.
  void set_mask_strides(const SymShape& shape) {
    int64_t* strides[] = {&args_.mask_b, &args_.mask_h, &args_.mask_q};
    int64_t next = sk_;
    for (size_t i = 3; i-- > 0;) {
      const size_t from_end = 3 - i;  // axis i of four, counted from the last
      if (shape.size() <= from_end) break;
      const Dim d = shape[shape.size() - 1 - from_end];
      *strides[i] = d == Dim::of(1) ? 0 : next;
      next *= d.fixed;
    }
  }

  ValueId q_, k_, v_, mask_, out_;
  Dim batch_;
  int64_t sq_, sk_, q_offset_, k_offset_, v_offset_;
  std::optional<ByteScale> bytes_;
  AttentionArgs args_{};
};

// q, k and v are bytes, and so is the softmax.
class ByteAttentionStep : public Step {
 public:
  ByteAttentionStep(const Graph& graph, const Node& node)
      : q_(node.input(0)),
        k_(node.input(1)),
        v_(node.input(2)),
        out_(node.outputs[0]),
        batch_(extent(graph, q_, 0)),
        q_offset_(node.integer("q_offset", 0)),
        k_offset_(node.integer("k_offset", 0)),
        v_offset_(node.integer("v_offset", 0)),
        bytes_(output_bytes(graph, node)) {
    const AttentionScales scales = *attention_scales(node);
    args_.heads = node.integer("heads", 1);
    args_.d = node.integer("head_dim", 0);
    args_.dv = node.integer("v_head_dim", args_.d);
    args_.sq = extent(graph, q_, 1).fixed;
    args_.sk = extent(graph, k_, 1).fixed;
    args_.scale = node.real("scale", 1 / std::sqrt(static_cast<float>(args_.d))) * scales.query.scale *
                  scales.key.scale;
    args_.q_zero = static_cast<int32_t>(scales.query.zero);
    args_.v_zero = static_cast<int32_t>(scales.value.zero);
    args_.weights = {scales.weights.scale, static_cast<int32_t>(scales.weights.zero), 0};
    args_.out_scale = scales.weights.scale * scales.value.scale;
    args_.q_row = extent(graph, q_, 2).fixed;
    args_.k_row = extent(graph, k_, 2).fixed;
    args_.v_row = extent(graph, v_, 2).fixed;
    args_.out_row = args_.heads * args_.dv;
    args_.q_batch = args_.sq * args_.q_row;
    args_.k_batch = args_.sk * args_.k_row;
    args_.v_batch = args_.sk * args_.v_row;
    args_.out_batch = args_.sq * args_.out_row;
    if (bytes_) args_.bytes = *bytes_;
  }

  int64_t scratch_bytes(int64_t, int threads) const override {
    return static_cast<int64_t>(byte_attention_scratch_bytes(args_, threads));
  }

  Status run(const RunState& s) const override {
    ByteAttentionArgs args = args_;
    args.batch = batch_.at(s.batch);
    args.q = s.data<const uint8_t>(q_) + q_offset_;
    args.k = s.data<const uint8_t>(k_) + k_offset_;
    args.v = s.data<const uint8_t>(v_) + v_offset_;
    args.out = bytes_ ? nullptr : s.data(out_);
    args.out_bytes = bytes_ ? s.data<uint8_t>(out_) : nullptr;
    byte_attention(s.kernels, s.pool, args, reinterpret_cast<uint8_t*>(s.scratch));
    return {};
  }

 private:
  ValueId q_, k_, v_, out_;
  Dim batch_;
  int64_t q_offset_, k_offset_, v_offset_;
  std::optional<ByteScale> bytes_;
  ByteAttentionArgs args_{};
};

bool is_byte(int64_t zero) { return zero >= 0 && zero <= 255; }

}  // namespace

std::string refuse_byte_attention(const Graph& graph, const Node& node) {
  const auto scales = attention_scales(node);
  if (!scales) return "the model does not quantize both of its products";
  if (node.input(3) != kNoValue) return "it has a mask";
  for (size_t i = 0; i < 3; ++i) {
    if (graph.value(node.input(i)).dtype != DType::kU8)
      return "an operand is not the plain result of an integer product";
    if (!extent(graph, node.input(i), 1).is_fixed()) return "the number of tokens depends on the batch";
  }
  if (!is_byte(scales->query.zero) || !is_byte(scales->value.zero) || !is_byte(scales->weights.zero))
    return "a zero point is beyond a byte";
  const int64_t depth = std::max(node.integer("head_dim", 0), extent(graph, node.input(1), 1).fixed);
  if (depth > kMostDepth) return fmt::format("sums of {} products may leave 32 bits", depth);
  return refuse_output(graph, node);
}

std::unique_ptr<Step> make_byte_attention(const Graph& graph, const Node& node) {
  return std::make_unique<ByteAttentionStep>(graph, node);
}

std::string refuse_attention(const Graph& graph, const Node& node) {
  for (size_t i = 0; i < 3; ++i) {
    if (graph.value(node.input(i)).dtype != DType::kF32) return "an operand is not float32";
    if (!extent(graph, node.input(i), 1).is_fixed()) return "the number of tokens depends on the batch";
  }
  if (std::string reason = refuse_output(graph, node); !reason.empty()) return reason;
  if (node.input(3) == kNoValue) return "";
  const SymShape& mask = *graph.value(node.input(3)).shape;
  if (mask.empty() || mask.size() > 4 || mask.back() != extent(graph, node.input(1), 1))
    return "the mask " + to_string(mask) + " does not span the keys";
  for (size_t i = mask.size() == 4 ? 1 : 0; i < mask.size(); ++i)
    if (!mask[i].is_fixed()) return "the mask's inner extents depend on the batch";
  return "";
}

std::unique_ptr<Step> make_attention(const Graph& graph, const Node& node) {
  return std::make_unique<AttentionStep>(graph, node);
}

}  // namespace vitrail::cpu
