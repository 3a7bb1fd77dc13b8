// SPDX-License-Identifier: Apache-2.0
// The part that all Vision Transformers have in common: patches, class token, positions, blocks.
#include "import/safetensors/tower.h"

namespace vitrail::safetensors {
namespace {

// What a family calls its modules; below `block` those of one block.
struct Names {
  const char *patch, *cls, *distilled, *registers, *positions, *pre_norm;
  const char* block;
  const char *norm1, *q, *k, *v, *qkv, *projection, *scale1, *norm2, *fc1, *fc2, *gate_up, *down, *scale2;
};

const Names& names_of(Family family) {
  static constexpr Names kVit{"embeddings.patch_embeddings.projection",
                              "embeddings.cls_token",
                              "embeddings.distillation_token",
                              "",
                              "embeddings.position_embeddings",
                              "",
                              "encoder.layer.",
                              "layernorm_before",
                              "attention.attention.query",
                              "attention.attention.key",
                              "attention.attention.value",
                              "",
                              "attention.output.dense",
                              "",
                              "layernorm_after",
                              "intermediate.dense",
                              "output.dense",
                              "",
                              "",
                              ""};
  static constexpr Names kDinov2{"embeddings.patch_embeddings.projection",
                                 "embeddings.cls_token",
                                 "",
                                 "embeddings.register_tokens",
                                 "embeddings.position_embeddings",
                                 "",
                                 "encoder.layer.",
                                 "norm1",
                                 "attention.attention.query",
                                 "attention.attention.key",
                                 "attention.attention.value",
                                 "",
                                 "attention.output.dense",
                                 "layer_scale1.lambda1",
                                 "norm2",
                                 "mlp.fc1",
                                 "mlp.fc2",
                                 "mlp.weights_in",
                                 "mlp.weights_out",
                                 "layer_scale2.lambda1"};
  static constexpr Names kClip{"embeddings.patch_embedding",
                               "embeddings.class_embedding",
                               "",
                               "",
                               "embeddings.position_embedding.weight",
                               "pre_layrnorm",  // so transformers spells it
                               "encoder.layers.",
                               "layer_norm1",
                               "self_attn.q_proj",
                               "self_attn.k_proj",
                               "self_attn.v_proj",
                               "",
                               "self_attn.out_proj",
                               "",
                               "layer_norm2",
                               "mlp.fc1",
                               "mlp.fc2",
                               "",
                               "",
                               ""};
  static constexpr Names kTimm{"patch_embed.proj", "cls_token", "dist_token", "reg_token", "pos_embed", "norm_pre",
                               "blocks.",          "norm1",     "",           "",          "",          "attn.qkv",
                               "attn.proj",        "ls1.gamma", "norm2",      "mlp.fc1",   "mlp.fc2",   "mlp.fc1",
                               "mlp.fc2",          "ls2.gamma"};
  switch (family) {
    case Family::kVit:
      return kVit;
    case Family::kDinov2:
      return kDinov2;
    case Family::kClip:
    case Family::kSiglip:
      return kClip;
    case Family::kTimm:
      break;
  }
  return kTimm;
}

class Tower {
 public:
  Tower(const Config& config, Weights& weights, Builder& builder)
      : c_(config), n_(names_of(config.family)), w_(weights), b_(builder) {}

  void build() {
    Value input;
    input.name = c_.family == Family::kTimm ? "input" : "pixel_values";
    input.dtype = DType::kF32;
    input.shape = SymShape{Dim::batch(), Dim::of(c_.channels), Dim::of(c_.image_height), Dim::of(c_.image_width)};
    const ValueId pixels = b_.graph.add_value(std::move(input));
    b_.graph.inputs.push_back(pixels);
    ValueId x = embed(pixels);
    const std::string pre_norm = name(n_.pre_norm);
    if (c_.family == Family::kClip || (c_.family == Family::kTimm && w_.has(pre_norm + ".weight"))) x = norm(pre_norm, x);
    for (int64_t i = 0; i < c_.depth; ++i) x = block(c_.prefix + n_.block + std::to_string(i) + ".", x);
    build_head(c_, w_, b_, x, tokens_, prefix_);
  }

 private:
  // Tokens that stand in front of the patches: [1, count, D].
  struct First {
    ValueId value;
    std::string name;
    int64_t count;
  };

  std::string name(const char* module) const { return c_.prefix + module; }

  Tensor bias(const std::string& module, int64_t size, bool wanted) {
    return wanted ? w_.take(module + ".bias", {size}) : Tensor();
  }

  ValueId norm(const std::string& module, ValueId x) {
    return b_.layer_norm(module, x, w_.take(module + ".weight", {c_.width}), w_.take(module + ".bias", {c_.width}),
                         c_.epsilon);
  }

  ValueId embed(ValueId pixels) {
    const int64_t d = c_.width;
    const std::string patch = name(n_.patch);
    const bool timm = c_.family == Family::kTimm;
    std::vector<ValueId> inputs{
        pixels, b_.constant(patch + ".weight",
                            w_.take(patch + ".weight", {d, c_.channels, c_.patch_height, c_.patch_width}))};
    if (timm ? w_.has(patch + ".bias") : c_.family != Family::kClip)
      inputs.push_back(b_.constant(patch + ".bias", w_.take(patch + ".bias", {d})));
    const std::vector<int64_t> kernel{c_.patch_height, c_.patch_width};
    ValueId x = b_.node(Op::Conv, patch, inputs, {{"kernel_shape", kernel}, {"strides", kernel}});
    const int64_t patches = (c_.image_height / c_.patch_height) * (c_.image_width / c_.patch_width);
    x = b_.transpose(patch + ".tokens", b_.reshape(patch + ".flat", x, {0, d, patches}), {0, 2, 1});

    std::vector<First> first;  // class token, distillation token, registers
    const std::string cls = name(n_.cls);
    if (c_.family == Family::kClip) {
      first.push_back({b_.constant(cls, w_.take(cls, {d}).reshaped({1, 1, d})), cls, 1});
      prefix_ = 1;
    } else if (c_.family != Family::kSiglip && (!timm || w_.has(cls))) {
      first.push_back({b_.constant(cls, w_.take(cls, {1, 1, d})), cls, 1});
      prefix_ = 1;
    }
    if (const std::string distilled = name(n_.distilled); *n_.distilled && w_.has(distilled)) {
      first.push_back({b_.constant(distilled, w_.take(distilled, {1, 1, d})), distilled, 1});
      ++prefix_;
    }
    if (c_.registers > 0) {
      const std::string registers = name(n_.registers);
      first.push_back({b_.constant(registers, w_.take(registers, {1, c_.registers, d})), registers, c_.registers});
      prefix_ += c_.registers;
    }
    tokens_ = prefix_ + patches;
    return add_positions(pixels, x, first, patches);
  }

  // How many of the first tokens have a position of their own: all, those in front of the registers (transformers), or
  // none (timm's no_embed_class).
  int64_t placed_tokens(const std::string& positions, int64_t patches) const {
    if (c_.family != Family::kTimm) return prefix_ - c_.registers;
    return w_.rows(positions) == patches ? 0 : prefix_;
  }

  ValueId add_positions(ValueId pixels, ValueId x, std::vector<First> first, int64_t patches) {
    const std::string positions = name(n_.positions);
    const int64_t d = c_.width, placed = placed_tokens(positions, patches);
    const bool flat = c_.family == Family::kClip || c_.family == Family::kSiglip;
    Tensor table = w_.take(positions, flat ? Shape{placed + patches, d} : Shape{1, placed + patches, d});
    if (flat) table = table.reshaped({1, placed + patches, d});
    ValueId all = b_.constant(positions, std::move(table));
    if (placed < prefix_) {  // the patches' rows are added before the other tokens join
      x = b_.add(positions + ".patches", x,
                 placed == 0 ? all : b_.slice(positions + ".of_patches", all, 1, placed, placed + patches));
      if (placed == 1) first[0].value = b_.add(positions + ".class", first[0].value, b_.slice(positions + ".of_class", all, 1, 0, 1));
    }
    std::vector<ValueId> parts;
    for (const First& token : first)
      parts.push_back(b_.repeat_for_batch(token.name + ".repeated", token.value, {token.count, d}, pixels));
    parts.push_back(x);
    if (parts.size() > 1) x = b_.concat(c_.prefix + "embeddings.concat", parts, 1);
    return placed == prefix_ ? b_.add(positions + ".sum", x, all) : x;
  }

  ValueId block(const std::string& p, ValueId x) {
    ValueId y = attend(p, norm(p + n_.norm1, x));
    x = b_.add(p + "sum1", scaled(p + n_.scale1, *n_.scale1, y), x);
    y = mlp(p, norm(p + n_.norm2, x));
    return b_.add(p + "sum2", scaled(p + n_.scale2, *n_.scale2, y), x);
  }

  ValueId scaled(const std::string& module, bool known, ValueId y) {
    if (!known || (c_.family == Family::kTimm && !w_.has(module))) return y;
    return b_.multiply(module + ".product", y, b_.constant(module, w_.take(module, {c_.width})));
  }

  ValueId attend(const std::string& p, ValueId x) {
    const int64_t d = c_.width;
    ValueId qkv[3];
    const char* modules[3] = {n_.q, n_.k, n_.v};
    for (int64_t i = 0; i < 3; ++i) {
      const std::string packed = p + n_.qkv;
      if (*n_.qkv)
        qkv[i] = b_.linear(packed + "." + "qkv"[i], x, w_.take_rows(packed + ".weight", i * d, d, 3 * d, {d}),
                           c_.qkv_bias ? w_.take_rows(packed + ".bias", i * d, d, 3 * d, {}) : Tensor());
      else
        qkv[i] = b_.linear(p + modules[i], x, w_.take(p + modules[i] + ".weight", {d, d}),
                           bias(p + modules[i], d, c_.qkv_bias));
    }
    const ValueId y = b_.attention(p + "attention", qkv[0], qkv[1], qkv[2], tokens_, tokens_, c_.heads, d);
    const std::string projection = p + n_.projection;
    return b_.linear(projection, y, w_.take(projection + ".weight", {d, d}), bias(projection, d, true));
  }

  ValueId mlp(const std::string& p, ValueId x) {
    const int64_t d = c_.width, h = c_.hidden;
    const std::string in = p + (c_.swiglu ? n_.gate_up : n_.fc1), out = p + (c_.swiglu ? n_.down : n_.fc2);
    ValueId y;
    if (c_.swiglu) {  // the gate is the first half
      ValueId half[2];
      for (int64_t i = 0; i < 2; ++i)
        half[i] = b_.linear(in + (i == 0 ? ".gate" : ".up"), x, w_.take_rows(in + ".weight", i * h, h, 2 * h, {d}),
                            w_.take_rows(in + ".bias", i * h, h, 2 * h, {}));
      y = b_.multiply(in + ".gated", b_.activation(in + ".silu", half[0], "silu"), half[1]);
    } else {
      y = b_.linear(in, x, w_.take(in + ".weight", {h, d}), bias(in, h, true));
      y = b_.activation(p + "activation", y, c_.activation);
    }
    return b_.linear(out, y, w_.take(out + ".weight", {d, h}), bias(out, d, true));
  }

  const Config& c_;
  const Names& n_;
  Weights& w_;
  Builder& b_;
  int64_t tokens_ = 0, prefix_ = 0;
};

}  // namespace

void build_model(const Config& config, Weights& weights, Builder& builder) { Tower(config, weights, builder).build(); }

}  // namespace vitrail::safetensors
