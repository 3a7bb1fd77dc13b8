// SPDX-License-Identifier: Apache-2.0
#include "preprocess/contract.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace vitrail {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::pair<std::string_view, ResizeMode> kResizeModes[] = {
    {"squash", ResizeMode::kSquash}, {"shortest", ResizeMode::kShortest}, {"longest", ResizeMode::kLongest}};
constexpr std::pair<std::string_view, Interpolation> kInterpolations[] = {
    {"nearest", Interpolation::kNearest},
    {"bilinear", Interpolation::kBilinear},
    {"bicubic", Interpolation::kBicubic},
    {"lanczos", Interpolation::kLanczos},
    {"box", Interpolation::kBox},
    {"hamming", Interpolation::kHamming}};
constexpr std::pair<std::string_view, Arithmetic> kArithmetics[] = {{"pillow", Arithmetic::kPillow},
                                                                    {"torchvision", Arithmetic::kTorch},
                                                                    {"torchvision-float", Arithmetic::kTorchFloat}};
constexpr std::pair<std::string_view, Decoding> kDecodings[] = {{"exact", Decoding::kExact},
                                                                {"scaled", Decoding::kScaled}};

Status wrong(const std::string& key, const Json& value, std::string_view expected) {
  std::string text = value.dump(-1, ' ', true);  // ASCII, so that cutting it splits no character
  if (text.size() > 60) text = text.substr(0, 60) + "...";
  return bad_input("preprocessing: \"{}\" is {}, expected {}", key, text, expected);
}

Status read(const std::string& key, const Json& value, int& out) {
  if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > 16384)
    return wrong(key, value, "a whole number of 1 to 16384");
  out = value.get<int>();
  return {};
}

Status read(const std::string& key, const Json& value, std::array<float, 3>& out) {
  constexpr std::string_view kExpected = "an array of three numbers";
  if (!value.is_array() || value.size() != 3) return wrong(key, value, kExpected);
  for (size_t i = 0; i < 3; ++i) {
    if (!value[i].is_number()) return wrong(key, value, kExpected);
    out[i] = value[i].get<float>();
  }
  return {};
}

template <class T, size_t N>
Status read(const std::string& key, const Json& value, const std::pair<std::string_view, T> (&names)[N],
            T& out) {
  std::string known;
  for (const auto& [name, meaning] : names) {
    if (value.is_string() && value.get_ref<const std::string&>() == name) {
      out = meaning;
      return {};
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  return wrong(key, value, "one of " + known);
}

template <class T, size_t N>
std::string_view name_of(const std::pair<std::string_view, T> (&names)[N], T value) {
  for (const auto& [name, meaning] : names)
    if (meaning == value) return name;
  return "?";
}

Status read_key(const std::string& key, const Json& value, PreprocessContract& c) {
  if (key == "height") return read(key, value, c.height);
  if (key == "width") return read(key, value, c.width);
  if (key == "resize_mode") return read(key, value, kResizeModes, c.resize_mode);
  if (key == "interpolation") return read(key, value, kInterpolations, c.interpolation);
  if (key == "arithmetic") return read(key, value, kArithmetics, c.arithmetic);
  if (key == "decoding") return read(key, value, kDecodings, c.decoding);
  if (key == "mean") return read(key, value, c.mean);
  if (key == "std") return read(key, value, c.std);
  if (key == "crop_pct") {
    if (!value.is_number()) return wrong(key, value, "a number above 0 and at most 1");
    c.crop_pct = value.get<double>();
    return {};
  }
  if (key == "color") {
    if (!value.is_string()) return wrong(key, value, "\"RGB\" or \"BGR\"");
    c.color = value.get<std::string>();
    return {};
  }
  return bad_input(
      "preprocessing: unknown key \"{}\"; known are height, width, resize_mode, crop_pct, interpolation, "
      "mean, std, color, arithmetic, decoding",
      key);
}

// The double that prints as the float does: 0.485, not 0.48500001430511475.
double shortest(float value) {
  const std::string text = fmt::format("{}", value);
  double out = value;
  std::from_chars(text.data(), text.data() + text.size(), out);  // unlike strtod, knows no locale
  return out;
}
Json shortest(const std::array<float, 3>& v) { return {shortest(v[0]), shortest(v[1]), shortest(v[2])}; }

}  // namespace

Status check_contract(const PreprocessContract& c) {
  for (const auto& [key, value] : {std::pair("height", c.height), std::pair("width", c.width)}) {
    if (value < 1 || value > 16384)
      return bad_input("preprocessing: \"{}\" is {}, expected a whole number of 1 to 16384", key, value);
    if (!(c.crop_pct > 0 && c.crop_pct <= 1))
      return bad_input("preprocessing: \"crop_pct\" is {}, expected a number above 0 and at most 1",
                       c.crop_pct);
    if (value / c.crop_pct > 65536)
      return bad_input("preprocessing: \"{}\" / \"crop_pct\" is {}, more than 65536: raise crop_pct", key,
                       value / c.crop_pct);
  }
  for (int i = 0; i < 3; ++i) {
    if (!std::isfinite(c.mean[i])) return bad_input("preprocessing: \"mean\"[{}] is not finite", i);
    if (!std::isfinite(c.std[i]) || !(c.std[i] > 0))
      return bad_input("preprocessing: \"std\"[{}] is {}, expected a finite number above 0", i, c.std[i]);
  }
  if (c.color != "RGB" && c.color != "BGR")
    return bad_input("preprocessing: \"color\" is \"{}\", expected \"RGB\" or \"BGR\"", c.color);
  if (c.arithmetic != Arithmetic::kPillow && c.interpolation != Interpolation::kNearest &&
      c.interpolation != Interpolation::kBilinear && c.interpolation != Interpolation::kBicubic)
    return bad_input(
        "preprocessing: \"interpolation\" is \"{}\", which torchvision has not for tensors: choose nearest, bilinear "
        "or bicubic, or \"arithmetic\": \"pillow\"",
        name_of(kInterpolations, c.interpolation));
  return {};
}

Result<PreprocessContract> parse_contract(const std::string& json, const PreprocessContract& base) try {
  const Json object = Json::parse(json);
  if (!object.is_object()) return bad_input("preprocessing: a JSON object is expected");
  PreprocessContract contract = base;
  for (const auto& [key, value] : object.items()) VTL_TRY(read_key(key, value, contract));
  VTL_TRY(check_contract(contract));
  return contract;
} catch (const std::exception& e) {  // nlohmann-json's parse errors, which tell line and column
  return bad_input("preprocessing: {}", e.what());
}

std::string contract_to_json(const PreprocessContract& c) {
  Json object{{"height", c.height},
                    {"width", c.width},
                    {"resize_mode", name_of(kResizeModes, c.resize_mode)},
                    {"crop_pct", c.crop_pct},
                    {"interpolation", name_of(kInterpolations, c.interpolation)},
                    {"mean", shortest(c.mean)},
                    {"std", shortest(c.std)},
                    {"color", c.color}};
  if (c.arithmetic != Arithmetic::kPillow) object["arithmetic"] = name_of(kArithmetics, c.arithmetic);
  if (c.decoding != Decoding::kExact) object["decoding"] = name_of(kDecodings, c.decoding);
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace vitrail
