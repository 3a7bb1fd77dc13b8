// SPDX-License-Identifier: Apache-2.0
// Pictures of every format; those that decode are prepared as well, in whole and in part.
#include <cstdio>
#include <cstdlib>
#include <span>

#include "preprocess/preprocess.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrail;
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  const auto image = decode_image(file);
  PreprocessContract contract;
  contract.height = contract.width = 16;
  contract.crop_pct = size % 2 == 0 ? 0.5 : 0.9;
  contract.resize_mode = static_cast<ResizeMode>(size % 3);
  contract.arithmetic = static_cast<Arithmetic>(size / 6 % 3);
  float whole[3 * 16 * 16], part[3 * 16 * 16];
  const Status encoded = preprocess_encoded(file, contract, part);
  if (!image.ok() || image->pixels.size() != size_t{3} * image->width * image->height) {
    if (encoded.ok() || image.ok()) std::abort();
    return 0;
  }
  const Status decoded = preprocess(*image, contract, whole);
  // Both ways must agree, to the bit.
  if (decoded.ok() != encoded.ok()) std::abort();
  for (size_t i = 0; decoded.ok() && i < std::size(whole); ++i)
    if (whole[i] != part[i]) std::abort();
  return 0;
}
