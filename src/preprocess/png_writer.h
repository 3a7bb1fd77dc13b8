// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vitrail/status.h"

namespace vitrail {

// Writes height × width values as an 8-bit greyscale PNG: values within [0, 1] as they are, others scaled
// from their range to it; NaN is black. kIo when the file cannot be written.
Status save_grey_png(const std::string& path, std::span<const float> values, int64_t height, int64_t width);

}  // namespace vitrail
