// SPDX-License-Identifier: Apache-2.0
// What a checkpoint's config.json and preprocessor_config.json say, of Hugging Face transformers or timm.
#pragma once

#include <string>
#include <vector>

#include "import/safetensors/file.h"

namespace vitrail::safetensors {

enum class Family { kVit, kDinov2, kClip, kSiglip, kTimm };  // by the names of their weights; DeiT is kVit
enum class Head {
  kNone,        // last_hidden_state and pooler_output
  kClassifier,  // logits
  kTeacher,     // DeiT's two classifiers: logits, cls_logits, distillation_logits
  kProjection,  // image_embeds, last_hidden_state
  kTimm,        // output
};

struct Config {
  Family family = Family::kVit;
  Head head = Head::kNone;
  std::string prefix;  // of the tower's weights: "vit."
  int64_t width = 0, depth = 0, heads = 0, hidden = 0;
  int64_t image_height = 224, image_width = 224, patch_height = 16, patch_width = 16, channels = 3;
  int64_t registers = 0, classes = 0, projection = 0;
  std::string activation = "gelu";  // gelu, gelu_tanh, gelu_quick, relu, silu, tanh
  std::string pooler_activation = "tanh";
  std::string pool;  // timm's global_pool: token, avg, map or nothing
  bool qkv_bias = true, swiglu = false;
  float epsilon = 1e-6f;
  std::string preprocess;  // contract as JSON, empty when unknown
  std::vector<std::string> labels;
  std::vector<std::string> warnings;
};

// Reads the two files of the checkpoint's folder. kBadInput, naming key and way out, for models that Vitrail does not
// build from safetensors and for impossible sizes.
Result<Config> read_config(const Checkpoint& checkpoint);

// The preprocessing contract of a preprocessor_config.json; empty with a warning where it cannot be expressed.
std::string preprocess_from_huggingface(const std::string& json, std::vector<std::string>& warnings);
// … and of timm's pretrained_cfg (a JSON object).
std::string preprocess_from_timm(const std::string& json, std::vector<std::string>& warnings);

}  // namespace vitrail::safetensors
