// SPDX-License-Identifier: Apache-2.0
#include "import/safetensors/config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"

namespace vitrail::safetensors {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxConfigBytes = 16 << 20;
constexpr int64_t kMaxWidth = 1 << 16, kMaxDepth = 1000, kMaxSide = 1 << 14, kMaxClasses = 1 << 22;

// The object's whole number; `fallback` when the key is absent or null.
Result<int64_t> integer(const Json& object, const char* key, int64_t fallback, int64_t least, int64_t most) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    if (fallback < least) return bad_input("\"{}\" is missing", key);
    return fallback;
  }
  if (!found->is_number_integer() || found->get<double>() < static_cast<double>(least) ||
      found->get<double>() > static_cast<double>(most))
    return bad_input("\"{}\" is not a whole number of {} to {}", key, least, most);
  return found->get<int64_t>();
}

// A side or a pair of sides, as transformers and timm write either.
Status sides(const Json& object, const char* key, int64_t& height, int64_t& width) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  if (found->is_array() && found->size() == 2) {
    const Json pair{{"height", (*found)[0]}, {"width", (*found)[1]}};
    VTL_ASSIGN(height, integer(pair, "height", 0, 1, kMaxSide));
    VTL_ASSIGN(width, integer(pair, "width", 0, 1, kMaxSide));
    return {};
  }
  VTL_ASSIGN(height, integer(object, key, 0, 1, kMaxSide));
  width = height;
  return {};
}

std::string text(const Json& object, const char* key, std::string fallback = "") {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : fallback;
}
bool flag(const Json& object, const char* key, bool fallback) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : fallback;
}
float real(const Json& object, const char* key, float fallback) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<float>() : fallback;
}

Result<std::string> activation_of(const std::string& name) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"gelu", "gelu"},           {"gelu_new", "gelu_tanh"},         {"gelu_tanh", "gelu_tanh"},
      {"gelu_fast", "gelu_tanh"}, {"gelu_pytorch_tanh", "gelu_tanh"}, {"quick_gelu", "gelu_quick"},
      {"relu", "relu"},           {"silu", "silu"},                  {"swish", "silu"},
      {"tanh", "tanh"}};
  for (const auto& [known, meaning] : kNames)
    if (known == name) return std::string(meaning);
  return bad_input("the activation '{}' is not known: export the model to ONNX (vitrail export)", name.substr(0, 60));
}

// id2label, unless the names are transformers' placeholders LABEL_0, LABEL_1 …
std::vector<std::string> labels_of(const Json& config, int64_t classes) {
  std::vector<std::string> labels;
  const auto names = config.find("id2label");
  if (names == config.end() || !names->is_object() || static_cast<int64_t>(names->size()) != classes) return {};
  bool placeholders = true;
  for (int64_t i = 0; i < classes; ++i) {
    const auto name = names->find(std::to_string(i));
    if (name == names->end() || !name->is_string()) return {};
    labels.push_back(name->get<std::string>());
    placeholders &= labels.back() == "LABEL_" + std::to_string(i);
  }
  if (placeholders) labels.clear();
  return labels;
}

// The weights are called PREFIX + `probe`, with the prefix of the whole model or without.
std::string find_prefix(const Entries& entries, std::string_view probe, std::initializer_list<const char*> prefixes) {
  for (const char* prefix : prefixes)
    if (entries.contains(std::string(prefix) + std::string(probe))) return prefix;
  return *prefixes.begin();
}

struct Architecture {
  std::string_view name;
  Family family;
  Head head;
};
constexpr Architecture kArchitectures[] = {
    {"ViTModel", Family::kVit, Head::kNone},
    {"ViTForImageClassification", Family::kVit, Head::kClassifier},
    {"DeiTModel", Family::kVit, Head::kNone},
    {"DeiTForImageClassification", Family::kVit, Head::kClassifier},
    {"DeiTForImageClassificationWithTeacher", Family::kVit, Head::kTeacher},
    {"Dinov2Model", Family::kDinov2, Head::kNone},
    {"Dinov2ForImageClassification", Family::kDinov2, Head::kClassifier},
    {"Dinov2WithRegistersModel", Family::kDinov2, Head::kNone},
    {"Dinov2WithRegistersForImageClassification", Family::kDinov2, Head::kClassifier},
    {"CLIPVisionModel", Family::kClip, Head::kNone},
    {"CLIPVisionModelWithProjection", Family::kClip, Head::kProjection},
    {"CLIPModel", Family::kClip, Head::kProjection},
    {"CLIPForImageClassification", Family::kClip, Head::kClassifier},
    {"SiglipVisionModel", Family::kSiglip, Head::kNone},
    {"SiglipModel", Family::kSiglip, Head::kNone},
    {"SiglipForImageClassification", Family::kSiglip, Head::kClassifier},
};

Result<Config> from_transformers(const Json& json, const Checkpoint& checkpoint) {
  Config c;
  std::string architecture;
  if (const auto list = json.find("architectures"); list != json.end() && list->is_array() && !list->empty())
    if (list->front().is_string()) architecture = list->front().get<std::string>();
  const auto* known = std::ranges::find(kArchitectures, architecture, &Architecture::name);
  if (known == std::end(kArchitectures)) {
    std::string names;
    for (const Architecture& a : kArchitectures) names += fmt::format("{}{}", names.empty() ? "" : ", ", a.name);
    return bad_input(
        "the architecture '{}' is not built from safetensors: export it to ONNX (vitrail export). Built are timm's "
        "Vision Transformers and {}",
        architecture.substr(0, 80), names);
  }
  c.family = known->family;
  c.head = known->head;
  const auto vision = json.find("vision_config");
  const Json& tower = vision != json.end() && vision->is_object() ? *vision : json;

  const bool clip = c.family == Family::kClip, siglip = c.family == Family::kSiglip, dino = c.family == Family::kDinov2;
  VTL_ASSIGN(c.width, integer(tower, "hidden_size", 768, 1, kMaxWidth));
  VTL_ASSIGN(c.depth, integer(tower, "num_hidden_layers", 12, 1, kMaxDepth));
  VTL_ASSIGN(c.heads, integer(tower, "num_attention_heads", 12, 1, kMaxWidth));
  VTL_ASSIGN(c.hidden, integer(tower, "intermediate_size", dino ? 1 : 3072, 1, kMaxWidth * 8));
  VTL_ASSIGN(c.channels, integer(tower, "num_channels", 3, 1, 64));
  c.patch_height = c.patch_width = clip ? 32 : 16;
  VTL_TRY(sides(tower, "image_size", c.image_height, c.image_width));
  VTL_TRY(sides(tower, "patch_size", c.patch_height, c.patch_width));
  c.epsilon = real(tower, "layer_norm_eps", clip ? 1e-5f : c.family == Family::kVit ? 1e-12f : 1e-6f);
  VTL_ASSIGN(c.activation, activation_of(text(tower, "hidden_act", clip     ? "quick_gelu"
                                                                   : siglip ? "gelu_pytorch_tanh"
                                                                            : "gelu")));
  VTL_ASSIGN(c.pooler_activation, activation_of(text(tower, "pooler_act", "tanh")));
  c.qkv_bias = flag(tower, "qkv_bias", true);
  if (dino) {
    const double ratio = real(tower, "mlp_ratio", 4);
    if (!(ratio > 0 && ratio < 1000)) return bad_input("\"mlp_ratio\" is not a number of 0 to 1000");
    c.hidden = static_cast<int64_t>(static_cast<double>(c.width) * ratio);
    c.swiglu = flag(tower, "use_swiglu_ffn", false);
    if (c.swiglu) c.hidden = (static_cast<int64_t>(static_cast<double>(c.hidden) * 2 / 3) + 7) / 8 * 8;
  }
  if (architecture.starts_with("Dinov2WithRegisters")) {
    VTL_ASSIGN(c.registers, integer(tower, "num_register_tokens", 4, 0, kMaxWidth));
  }
  if (c.head == Head::kClassifier || c.head == Head::kTeacher) {
    const auto names = json.find("id2label");
    const auto given = names != json.end() && names->is_object() ? static_cast<int64_t>(names->size()) : 2;
    VTL_ASSIGN(c.classes, integer(json, "num_labels", given, 1, kMaxClasses));
    c.labels = labels_of(json, c.classes);
  }
  if (c.head == Head::kProjection) {
    VTL_ASSIGN(c.projection, integer(json, "projection_dim", 512, 1, kMaxWidth));
  }
  const Entries& entries = checkpoint.entries;
  if (clip || siglip)
    c.prefix = find_prefix(entries, "embeddings.patch_embedding.weight", {"vision_model.", "", "vision_model.vision_model."});
  else
    c.prefix = find_prefix(entries, "embeddings.cls_token", {dino ? "dinov2." : "vit.", "deit.", "dinov2_with_registers.", ""});
  return c;
}

// How many heads timm gives a Vision Transformer of this width; 0 where several are in use.
int64_t timm_heads(int64_t width, const std::string& name) {
  constexpr std::pair<int64_t, int64_t> kHeads[] = {{192, 3},   {256, 4},   {320, 5},   {384, 6},   {512, 8},
                                                    {640, 10},  {768, 12},  {832, 13},  {896, 14},  {1024, 16},
                                                    {1152, 16}, {1280, 16}, {1408, 16}, {1664, 16}, {2048, 16}};
  if (width == 1536) return name.find("dinov2") != std::string::npos ? 24 : 16;
  for (const auto& [known, heads] : kHeads)
    if (known == width) return heads;
  return 0;
}

Result<Config> from_timm(const Json& json, const Checkpoint& checkpoint) {
  Config c;
  c.family = Family::kTimm;
  c.head = Head::kTimm;
  const std::string name = text(json, "architecture");
  if (!name.starts_with("vit_") && !name.starts_with("deit_") && !name.starts_with("deit3_"))
    return bad_input("timm's '{}' is not built from safetensors (vit_*, deit_* and deit3_* are): export it to ONNX "
                     "(vitrail export)", name.substr(0, 80));
  const Json none = Json::object();
  const auto object = [&](const char* key) -> const Json& {
    const auto found = json.find(key);
    return found != json.end() && found->is_object() ? *found : none;
  };
  const Json &arguments = object("model_args"), &pretrained = object("pretrained_cfg");

  // What the weights say themselves.
  const auto shape_of = [&](const char* key) -> Shape {
    const auto found = checkpoint.entries.find(std::string_view(key));
    return found == checkpoint.entries.end() ? Shape{} : found->second.shape;
  };
  const Shape patch = shape_of("patch_embed.proj.weight");
  if (patch.size() != 4 || std::ranges::any_of(patch, [](int64_t n) { return n < 1 || n > kMaxWidth; }))
    return bad_input("tensor 'patch_embed.proj.weight' is {}, not the weight of a patch embedding", to_string(patch));
  c.width = patch[0];
  c.channels = patch[1];
  c.patch_height = patch[2];
  c.patch_width = patch[3];
  while (c.depth < kMaxDepth && checkpoint.entries.contains(fmt::format("blocks.{}.norm1.weight", c.depth))) ++c.depth;
  const Shape fc1 = shape_of("blocks.0.mlp.fc1.weight"), fc2 = shape_of("blocks.0.mlp.fc2.weight");
  c.hidden = fc2.size() == 2 ? fc2[1] : 4 * c.width;
  if (c.hidden < 1 || c.hidden > 8 * kMaxWidth) return bad_input("its MLP has {} columns", c.hidden);
  c.swiglu = fc1.size() == 2 && fc1[0] == 2 * c.hidden;
  c.qkv_bias = checkpoint.entries.contains("blocks.0.attn.qkv.bias");
  if (const Shape registers = shape_of("reg_token"); registers.size() == 3)
    c.registers = std::clamp<int64_t>(registers[1], 0, kMaxWidth);
  if (const Shape head = shape_of("head.weight"); head.size() == 2) c.classes = head[0];

  VTL_ASSIGN(c.heads, integer(arguments, "num_heads", std::max<int64_t>(1, timm_heads(c.width, name)), 1, kMaxWidth));
  if (!arguments.contains("num_heads") && timm_heads(c.width, name) == 0)
    return bad_input("config.json does not say how many heads '{}' has: give it \"model_args\": {{\"num_heads\": N}}", name);
  if (const auto size = pretrained.find("input_size"); size != pretrained.end() && size->is_array() && size->size() == 3)
    VTL_TRY(sides(Json{{"input_size", {(*size)[1], (*size)[2]}}}, "input_size", c.image_height, c.image_width));
  VTL_TRY(sides(arguments, "img_size", c.image_height, c.image_width));
  c.pool = text(arguments, "global_pool", text(json, "global_pool", "token"));

  const bool clip = name.find("_clip_") != std::string::npos;
  c.epsilon = clip ? 1e-5f : 1e-6f;
  std::string activation = c.swiglu ? "silu" : "gelu";
  if (name.find("quickgelu") != std::string::npos) activation = "quick_gelu";
  for (const char* tanh : {"vit_base_patch32_siglip", "vit_large_patch16_siglip_512", "vit_large_patch16_siglip_gap_512",
                           "vit_so400m_patch16_siglip", "vit_giantopt_patch16_siglip"})
    if (name.starts_with(tanh)) activation = "gelu_tanh";
  VTL_ASSIGN(c.activation, activation_of(text(arguments, "act_layer", activation)));
  if (c.swiglu) c.activation = "silu";

  if (!pretrained.empty()) c.preprocess = preprocess_from_timm(pretrained.dump(), c.warnings);
  const auto labels = json.find("label_names");
  if (labels != json.end() && labels->is_array() && static_cast<int64_t>(labels->size()) == c.classes)
    for (const Json& label : *labels)
      if (label.is_string()) c.labels.push_back(label.get<std::string>());
  if (static_cast<int64_t>(c.labels.size()) != c.classes) c.labels.clear();
  return c;
}

Status check(const Config& c) {
  if (c.width % c.heads != 0) return bad_input("a width of {} is not divisible by {} heads", c.width, c.heads);
  if (c.image_height < c.patch_height || c.image_width < c.patch_width)
    return bad_input("images of {}x{} have no patch of {}x{}", c.image_height, c.image_width, c.patch_height,
                     c.patch_width);
  return {};
}

Result<Config> parse_config(const std::string& content, const Checkpoint& checkpoint) try {
  const Json json = Json::parse(content);
  if (!json.is_object()) return bad_input("no JSON object");
  auto c = json.contains("architecture") ? from_timm(json, checkpoint) : from_transformers(json, checkpoint);
  VTL_TRY(c.status());
  VTL_TRY(check(*c));
  return c;
} catch (const std::exception& e) {
  return bad_input("{}", e.what());
}

}  // namespace

Result<Config> read_config(const Checkpoint& checkpoint) {
  const std::string path = (fs::path(checkpoint.folder) / "config.json").string();
  auto content = vitrail::read_file(path, kMaxConfigBytes);
  if (!content.ok())
    return bad_input("{}: a safetensors model needs its config.json (of transformers or timm) beside it",
                     content.status().message());
  auto config = parse_config(*content, checkpoint);
  if (!config.ok()) return config.status().with_context(path);
  const std::string processor = (fs::path(checkpoint.folder) / "preprocessor_config.json").string();
  std::error_code error;
  if (config->preprocess.empty() && fs::exists(processor, error)) {
    VTL_ASSIGN(const std::string json, vitrail::read_file(processor, kMaxConfigBytes));
    config->preprocess = preprocess_from_huggingface(json, config->warnings);
  }
  return config;
}

}  // namespace vitrail::safetensors
