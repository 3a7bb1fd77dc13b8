// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "vitrail/image.h"

namespace vitrail {

// The largest picture that is decoded. Memory is taken for what a file claims: three bytes a pixel, more in between.
struct PixelLimit {
  int64_t most = kMaxImagePixels;
  std::string_view set_by{};  // the option to raise it by, for the error
};

}  // namespace vitrail
