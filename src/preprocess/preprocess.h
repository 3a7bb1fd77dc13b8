// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "preprocess/contract.h"
#include "vitrail/image.h"

namespace vitrail {

// Fills `out`, float32 [3, contract.height, contract.width], with the model's input for one image: resize and
// centre crop as timm's evaluation transform (crop_mode squash, center for kShortest, border for kLongest),
// then (pixel / 255 - mean) / std, as torchvision's ToTensor and Normalize. kUsage when the contract or image
// is impossible.
Status preprocess(const Image& image, const PreprocessContract& contract, float* out);

// The same without the normalisation: fills `out`, uint8 [contract.height, contract.width, 3], channels in
// the order of contract.color, for an engine that normalises by itself. normalise() of it is preprocess().
Status preprocess_bytes(const Image& image, const PreprocessContract& contract, uint8_t* out);

// float32 [3, height, width] from uint8 [height, width, 3]: the last step of preprocess().
void normalise(const uint8_t* bytes, const PreprocessContract& contract, float* out);

}  // namespace vitrail
