// SPDX-License-Identifier: Apache-2.0
// What follows the blocks, as the forward() of each family in transformers and timm has it.
#include "import/safetensors/tower.h"

namespace vitrail::safetensors {
namespace {

class HeadBuilder {
 public:
  HeadBuilder(const Config& config, Weights& weights, Builder& builder) : c_(config), w_(weights), b_(builder) {}

  ValueId norm(const std::string& module, ValueId x) {
    return b_.layer_norm(module, x, w_.take(module + ".weight", {c_.width}), w_.take(module + ".bias", {c_.width}),
                         c_.epsilon);
  }
  ValueId linear(const std::string& module, ValueId x, int64_t in, int64_t out, bool bias = true) {
    return b_.linear(module, x, w_.take(module + ".weight", {out, in}), bias ? w_.take(module + ".bias", {out}) : Tensor());
  }

  void vit(ValueId x) {
    const ValueId y = norm(c_.prefix + "layernorm", x);
    if (c_.head == Head::kClassifier) {
      b_.output("logits", linear("classifier", b_.token("class", y, 0), c_.width, c_.classes));
    } else if (c_.head == Head::kTeacher) {
      const ValueId cls = linear("cls_classifier", b_.token("class", y, 0), c_.width, c_.classes);
      const ValueId distilled = linear("distillation_classifier", b_.token("distilled", y, 1), c_.width, c_.classes);
      b_.output("logits", b_.node(Op::Div, "mean", {b_.add("sum", cls, distilled), b_.scalar("two", 2)}));
      b_.output("cls_logits", cls);
      b_.output("distillation_logits", distilled);
    } else {
      b_.output("last_hidden_state", y);
      const std::string pooler = c_.prefix + "pooler.dense";
      if (!w_.has(pooler + ".weight")) return;
      const ValueId pooled = linear(pooler, b_.token("class", y, 0), c_.width, c_.width);
      b_.output("pooler_output", b_.activation("pooler.activation", pooled, c_.pooler_activation));
    }
  }

  void dinov2(ValueId x, int64_t tokens, int64_t prefix) {
    const ValueId y = norm(c_.prefix + "layernorm", x);
    const ValueId cls = b_.token("class", y, 0);
    if (c_.head == Head::kClassifier) {
      const ValueId mean = b_.mean_over_tokens("patches.mean", b_.slice("patches", y, 1, prefix, tokens));
      b_.output("logits", linear("classifier", b_.concat("features", {cls, mean}, 1), 2 * c_.width, c_.classes));
      return;
    }
    b_.output("last_hidden_state", y);
    b_.output("pooler_output", cls);
  }

  void clip(ValueId x, int64_t tokens) {
    if (c_.head == Head::kClassifier) {
      w_.ignore(c_.prefix + "post_layernorm.");
      const ValueId mean = b_.mean_over_tokens("patches.mean", b_.slice("patches", x, 1, 1, tokens));
      b_.output("logits", linear("classifier", mean, c_.width, c_.classes));
      return;
    }
    const ValueId pooled = norm(c_.prefix + "post_layernorm", b_.token("class", x, 0));
    if (c_.head == Head::kProjection)
      b_.output("image_embeds", linear("visual_projection", pooled, c_.width, c_.projection, false));
    b_.output("last_hidden_state", x);
    if (c_.head == Head::kNone) b_.output("pooler_output", pooled);
  }

  void siglip(ValueId x, int64_t tokens) {
    const ValueId y = norm(c_.prefix + "post_layernorm", x);
    if (c_.head == Head::kClassifier) {
      w_.ignore(c_.prefix + "head.");
      b_.output("logits", linear("classifier", b_.mean_over_tokens("mean", y), c_.width, c_.classes));
      return;
    }
    b_.output("last_hidden_state", y);
    if (w_.has(c_.prefix + "head.probe")) b_.output("pooler_output", attention_pool(c_, w_, b_, y, tokens));
  }

  void timm(ValueId x, int64_t tokens, int64_t prefix) {
    if (w_.has("norm.weight")) x = norm("norm", x);
    ValueId y = x;
    if (w_.has("dist_token") && w_.has("head_dist.weight")) {
      const ValueId cls = linear("head", b_.token("class", x, 0), c_.width, c_.classes);
      const ValueId distilled = linear("head_dist", b_.token("distilled", x, 1), c_.width, c_.classes);
      b_.output("output", b_.node(Op::Div, "mean", {b_.add("sum", cls, distilled), b_.scalar("two", 2)}));
      return;
    }
    if (c_.pool == "token")
      y = b_.token("class", x, 0);
    else if (c_.pool == "avg")
      y = b_.mean_over_tokens("mean", prefix ? b_.slice("patches", x, 1, prefix, tokens) : x);
    else if (c_.pool == "map")
      y = attention_pool(c_, w_, b_, x, tokens);
    if (w_.has("fc_norm.weight")) y = norm("fc_norm", y);
    if (c_.classes > 0) y = linear("head", y, c_.width, c_.classes);
    b_.output("output", y);
  }

 private:
  const Config& c_;
  Weights& w_;
  Builder& b_;
};

}  // namespace

ValueId attention_pool(const Config& c, Weights& w, Builder& b, ValueId x, int64_t tokens) {
  const int64_t d = c.width;
  HeadBuilder head(c, w, b);
  const bool timm = c.family == Family::kTimm;
  const std::string p = timm ? "attn_pool." : c.prefix + "head.", attention = timm ? p : p + "attention.";
  const std::string packed = attention + (timm ? "kv." : "in_proj_");
  const std::string latent = p + (timm ? "latent" : "probe");
  const ValueId query = b.constant(latent, w.take(latent, {1, 1, d}));
  const ValueId repeated = b.repeat_for_batch(latent + ".repeated", query, {1, d}, b.graph.inputs[0]);
  ValueId q, kv[2];
  // transformers packs q, k and v; timm k and v.
  const int64_t total = timm ? 2 * d : 3 * d, skipped = timm ? 0 : d;
  if (timm)
    q = head.linear(attention + "q", repeated, d, d);
  else
    q = b.linear(attention + "q", repeated, w.take_rows(packed + "weight", 0, d, total, {d}),
                 w.take_rows(packed + "bias", 0, d, total, {}));
  for (int64_t i = 0; i < 2; ++i)
    kv[i] = b.linear(attention + (i == 0 ? "k" : "v"), x,
                     w.take_rows(packed + "weight", skipped + i * d, d, total, {d}),
                     w.take_rows(packed + "bias", skipped + i * d, d, total, {}));
  ValueId y = b.attention(attention + "attend", q, kv[0], kv[1], 1, tokens, c.heads, d);
  y = head.linear(attention + (timm ? "proj" : "out_proj"), y, d, d);
  ValueId z = head.norm(p + (timm ? "norm" : "layernorm"), y);
  z = head.linear(p + "mlp.fc1", z, d, c.hidden);
  z = head.linear(p + "mlp.fc2", b.activation(p + "activation", z, c.activation), c.hidden, d);
  return b.token(p + "pooled", b.add(p + "sum", y, z), 0);
}

void build_head(const Config& c, Weights& w, Builder& b, ValueId x, int64_t tokens, int64_t prefix) {
  HeadBuilder head(c, w, b);
  switch (c.family) {
    case Family::kVit:
      return head.vit(x);
    case Family::kDinov2:
      return head.dinov2(x, tokens, prefix);
    case Family::kClip:
      return head.clip(x, tokens);
    case Family::kSiglip:
      return head.siglip(x, tokens);
    case Family::kTimm:
      return head.timm(x, tokens, prefix);
  }
}

}  // namespace vitrail::safetensors
