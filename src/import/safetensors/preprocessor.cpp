// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <nlohmann/json.hpp>

#include "import/safetensors/config.h"

namespace vitrail::safetensors {
namespace {

using Json = nlohmann::json;

bool whole(const Json& v, int64_t& out) {
  if (!v.is_number_integer() || v.get<double>() < 1 || v.get<double>() > 16384) return false;
  out = v.get<int64_t>();
  return true;
}

// The crop_pct with floor(size / crop_pct) == scaled.
double crop_pct(int64_t size, int64_t scaled) {
  double pct = static_cast<double>(size) / static_cast<double>(scaled);
  while (std::floor(static_cast<double>(size) / pct) < static_cast<double>(scaled)) pct = std::nextafter(pct, 0.0);
  return pct;
}

// The sizes of the contract out of transformers' resize and centre crop.
bool read_sizes(const Json& json, Json& contract) {
  const Json size = json.value("size", Json(224));
  const bool crops = json.value("do_center_crop", false), resizes = json.value("do_resize", true);
  int64_t height = 0, width = 0, shortest = 0;
  if (size.is_object() && size.contains("height") && size.contains("width")) {
    if (!whole(size["height"], height) || !whole(size["width"], width)) return false;
  } else if (size.is_object() ? !whole(size.value("shortest_edge", Json()), shortest) : !whole(size, shortest)) {
    return false;
  }
  // Older files write one number: the shorter side where a crop follows, a square otherwise.
  if (shortest && !crops && !size.is_object()) height = width = shortest;
  if (!resizes) return false;
  if (height) {
    contract["resize_mode"] = "squash";
    contract["crop_pct"] = 1.0;
    if (!crops) {
      contract["height"] = height;
      contract["width"] = width;
      return true;
    }
  }
  const Json crop = json.value("crop_size", Json(224));
  int64_t crop_height = 0, crop_width = 0;
  if (crops && crop.is_object()) {
    if (!whole(crop.value("height", Json()), crop_height) || !whole(crop.value("width", Json()), crop_width))
      return false;
  } else if (crops) {
    if (!whole(crop, crop_height)) return false;
    crop_width = crop_height;
  }
  if (!crops || (height && (height != crop_height || width != crop_width))) return false;  // sizes that vary; unusual
  contract["height"] = crop_height;
  contract["width"] = crop_width;
  if (height) return true;
  if (crop_height != crop_width || crop_height > shortest) return false;
  contract["resize_mode"] = "shortest";
  contract["crop_pct"] = crop_pct(crop_height, shortest);
  return true;
}

bool read_interpolation(const Json& value, Json& contract) {
  constexpr const char* kOfPillow[] = {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"};
  if (value.is_number_integer() && value.get<double>() >= 0 && value.get<double>() < 6) {
    contract["interpolation"] = kOfPillow[value.get<int>()];
    return true;
  }
  for (const char* known : kOfPillow)
    if (value.is_string() && value.get<std::string>() == known) contract["interpolation"] = known;
  return contract.contains("interpolation");
}

bool read_normalisation(const Json& json, Json& contract) {
  Json mean{0.0, 0.0, 0.0}, std{1.0, 1.0, 1.0};
  if (json.value("do_normalize", true)) {
    mean = json.value("image_mean", Json{0.5, 0.5, 0.5});
    std = json.value("image_std", Json{0.5, 0.5, 0.5});
  }
  // The contract scales bytes by 1/255; another factor goes into mean and deviation.
  const double factor = json.value("do_rescale", true) ? json.value("rescale_factor", 1 / 255.0) : 1.0;
  const double k = std::abs(factor * 255 - 1) < 1e-6 ? 1 : factor * 255;
  if (!mean.is_array() || !std.is_array() || mean.size() != 3 || std.size() != 3 || !(k > 0)) return false;
  for (size_t i = 0; i < 3; ++i) {
    if (!mean[i].is_number() || !std[i].is_number()) return false;
    if (k != 1) {
      mean[i] = mean[i].get<double>() / k;
      std[i] = std[i].get<double>() / k;
    }
  }
  contract["mean"] = mean;
  contract["std"] = std;
  return true;
}

constexpr const char* kUnknown =
    "the preprocessing of {} cannot be expressed by Vitrail's contract; give --preprocess FILE.json";

std::string give_up(const char* file, std::vector<std::string>& warnings) {
  std::string text = kUnknown;
  text.replace(text.find("{}"), 2, file);
  warnings.push_back(std::move(text));
  return {};
}

}  // namespace

std::string preprocess_from_huggingface(const std::string& text, std::vector<std::string>& warnings) try {
  const Json json = Json::parse(text);
  Json contract = Json::object();
  if (!json.is_object() || !read_sizes(json, contract) ||
      !read_interpolation(json.value("resample", Json(3)), contract) || !read_normalisation(json, contract))
    return give_up("preprocessor_config.json", warnings);
  // The processors called Fast resize tensors with torchvision, the others pictures with Pillow.
  const Json type = json.value("image_processor_type", Json(""));
  const std::string interpolation = contract["interpolation"];
  if (type.is_string() && type.get<std::string>().ends_with("Fast") &&
      (interpolation == "nearest" || interpolation == "bilinear" || interpolation == "bicubic"))
    contract["arithmetic"] = "torchvision";
  return contract.dump();
} catch (const std::exception&) {
  return give_up("preprocessor_config.json", warnings);
}

std::string preprocess_from_timm(const std::string& text, std::vector<std::string>& warnings) try {
  const Json json = Json::parse(text);
  Json contract = Json::object();
  const Json size = json.value("input_size", Json());
  int64_t height = 0, width = 0;
  if (!size.is_array() || size.size() != 3 || !whole(size[1], height) || !whole(size[2], width) ||
      !read_interpolation(json.value("interpolation", Json("bicubic")), contract))
    return give_up("timm's pretrained_cfg", warnings);
  const std::string mode = json.value("crop_mode", "center");
  contract["height"] = height;
  contract["width"] = width;
  contract["resize_mode"] = mode == "squash" ? "squash" : mode == "border" ? "longest" : "shortest";
  contract["crop_pct"] = json.value("crop_pct", 0.875);
  contract["mean"] = json.value("mean", Json{0.485, 0.456, 0.406});
  contract["std"] = json.value("std", Json{0.229, 0.224, 0.225});
  return contract.dump();
} catch (const std::exception&) {
  return give_up("timm's pretrained_cfg", warnings);
}

}  // namespace vitrail::safetensors
