// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/thread_pool.h"
#include "preprocess/contract.h"
#include "preprocess/limit.h"
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

// The same from an encoded picture. Of a JPEG only what ends up in the output is decoded in full; the result is that
// of decode_image() and preprocess() to the bit, unless contract.decoding is kScaled. Errors: as theirs.
Status preprocess_encoded(std::span<const std::byte> file, const PreprocessContract& contract, float* out,
                          PixelLimit limit = {});
Status preprocess_encoded(std::span<const std::byte> file, const PreprocessContract& contract, uint8_t* out,
                          PixelLimit limit = {});

// One file after the other, on all threads of the pool, into `out`: [paths.size(), …] of the shapes above. The error
// of the first file that failed names it; `out` then holds no more than some of the pictures.
Status preprocess_files(std::span<const std::string> paths, const PreprocessContract& contract, ThreadPool& pool,
                        float* out);
Status preprocess_files(std::span<const std::string> paths, const PreprocessContract& contract, ThreadPool& pool,
                        uint8_t* out);

// float32 [3, height, width] from uint8 [height, width, 3]: the last step of preprocess().
void normalise(const uint8_t* bytes, const PreprocessContract& contract, float* out);

}  // namespace vitrail
