// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "preprocess/contract.h"
#include "vitrail/image.h"

namespace vitrail {

// Fills `out`, float32 [3, contract.height, contract.width], with the model's input for one image: resize and
// centre crop as timm's evaluation transform (crop_mode squash, center for kShortest, border for kLongest),
// then (pixel / 255 - mean) / std, as torchvision's ToTensor and Normalize. kUsage when the contract or image
// is impossible.
Status preprocess(const Image& image, const PreprocessContract& contract, float* out);

}  // namespace vitrail
