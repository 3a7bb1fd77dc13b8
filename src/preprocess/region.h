// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace vitrail {

// A rectangle of pixels.
struct Region {
  int64_t x = 0, y = 0;
  int width = 0, height = 0;
};

// Where pixels that were cut out belong: their first one is (x, y) of a picture of width × height.
struct Place {
  int64_t x = 0, y = 0;
  int width = 0, height = 0;
};

}  // namespace vitrail
