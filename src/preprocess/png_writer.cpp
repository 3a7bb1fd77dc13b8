// SPDX-License-Identifier: Apache-2.0
#include "preprocess/png_writer.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/files.h"

namespace vitrail {

Status save_grey_png(const std::string& path, std::span<const float> values, int64_t height, int64_t width) {
  if (height < 1 || width < 1 || height > 65535 || width > 65535 ||
      static_cast<int64_t>(values.size()) != height * width)
    return usage_error("{}: {} values are no picture of {}×{}", path, values.size(), height, width);
  float low = 0, high = 1;
  for (float v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  std::vector<uint8_t> pixels(values.size());
  for (size_t i = 0; i < values.size(); ++i)
    pixels[i] = std::isfinite(values[i])
                    ? static_cast<uint8_t>(std::lround((values[i] - low) / (high - low) * 255))
                    : 0;

  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(size, '\0');
  if (!png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr))
    return internal_error("{}: libpng: {}", path, image.message);
  return write_file_atomically(path, std::string_view(file).substr(0, size));
}

}  // namespace vitrail
