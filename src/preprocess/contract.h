// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>

#include "vitrail/status.h"

namespace vitrail {

enum class ResizeMode { kSquash, kShortest, kLongest };
enum class Interpolation { kNearest, kBilinear, kBicubic, kLanczos, kBox, kHamming };
// Whose arithmetic is repeated to the bit: Image.resize of Pillow, then ToTensor; torchvision.transforms.v2.Resize with antialias
// on uint8 tensors, which Hugging Face's image processors use, then v2.ToDtype; or these two the other way round, on float32.
enum class Arithmetic { kPillow, kTorch, kTorchFloat };
// kScaled lets libjpeg shrink large JPEGs by 2, 4 or 8 while it decodes them, never below the size that is wanted:
// faster, and no longer the same pixels.
enum class Decoding { kExact, kScaled };

// How an image becomes the model's input; travels in the engine. The defaults are those of ImageNet
// evaluation.
struct PreprocessContract {
  int height = 224;
  int width = 224;
  // squash: resize to (height/crop_pct, width/crop_pct), rounded down; shortest: the shorter side to
  // size/crop_pct, aspect kept; longest: the longer side fits, the rest padded with the mean. Then a centre
  // crop of height × width.
  ResizeMode resize_mode = ResizeMode::kShortest;
  double crop_pct = 1.0;
  Interpolation interpolation = Interpolation::kBicubic;
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f};  // of channels scaled to 0..1, in the order of `color`
  std::array<float, 3> std{0.229f, 0.224f, 0.225f};
  std::string color = "RGB";  // or "BGR"
  Arithmetic arithmetic = Arithmetic::kPillow;
  Decoding decoding = Decoding::kExact;
  bool operator==(const PreprocessContract&) const = default;
};

// From the JSON object {"height","width","resize_mode","crop_pct","interpolation","mean","std","color",
// "arithmetic","decoding"}, of which the last two are written only where they are not the defaults; absent keys keep `base`. Unknown keys, wrong types and impossible values are kBadInput errors that name the
// key.
Result<PreprocessContract> parse_contract(const std::string& json, const PreprocessContract& base = {});
std::string contract_to_json(const PreprocessContract& contract);

// kBadInput naming the key unless sizes are in 1..16384, crop_pct in (0, 1], mean and std finite, std > 0,
// the colour order known and height/crop_pct and width/crop_pct at most 65536.
Status check_contract(const PreprocessContract& contract);

}  // namespace vitrail
