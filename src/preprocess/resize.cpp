// SPDX-License-Identifier: Apache-2.0
#include "preprocess/resize.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/error.h"
#include "preprocess/filter.h"

namespace vitrail {
namespace {

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

uint8_t to_u8(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

Image blank(int width, int height) {
  return {width, height, std::vector<uint8_t>(size_t{3} * width * height)};
}

const uint8_t* row_of(const Image& image, int64_t y) {
  return image.pixels.data() + size_t{3} * image.width * y;
}
uint8_t* row_of(Image& image, int64_t y) { return image.pixels.data() + size_t{3} * image.width * y; }

// Rows [first_row, first_row + rows) of `in`, scaled along x.
Image horizontal_pass(const Image& in, const Taps& taps, int first_row, int rows) {
  Image out = blank(static_cast<int>(taps.windows.size()), rows);
  for (int y = 0; y < rows; ++y) {
    const uint8_t* line = row_of(in, first_row + y);
    uint8_t* to = row_of(out, y);
    for (const Taps::Window& window : taps.windows) {
      const int32_t* w = &taps.weights[window.weights];
      const uint8_t* from = line + size_t{3} * window.first;
      int32_t r = kHalf, g = kHalf, b = kHalf;
      for (int i = 0; i < window.count; ++i, from += 3) {
        r += from[0] * w[i];
        g += from[1] * w[i];
        b += from[2] * w[i];
      }
      *to++ = to_u8(r);
      *to++ = to_u8(g);
      *to++ = to_u8(b);
    }
  }
  return out;
}

// Columns [first_column, first_column + columns) of `in`, scaled along y. Row `row_offset` of the source is
// the first row of `in`.
Image vertical_pass(const Image& in, const Taps& taps, int row_offset, int64_t first_column, int columns) {
  Image out = blank(columns, static_cast<int>(taps.windows.size()));
  std::vector<int32_t> sums(size_t{3} * columns);
  for (int y = 0; y < out.height; ++y) {
    const Taps::Window& window = taps.windows[y];
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int i = 0; i < window.count; ++i) {
      const int32_t w = taps.weights[window.weights + i];
      const uint8_t* from = row_of(in, window.first - row_offset + i) + size_t{3} * first_column;
      for (size_t x = 0; x < sums.size(); ++x) sums[x] += from[x] * w;
    }
    std::transform(sums.begin(), sums.end(), row_of(out, y), to_u8);
  }
  return out;
}

// Source positions as Pillow's ImagingScaleAffine finds them, by adding up steps; -1 past the end.
std::vector<int> nearest_positions(int source, int64_t target, int64_t first, int count) {
  const double step = static_cast<double>(source) / static_cast<double>(target);
  std::vector<int> positions;
  double at = step * 0.5;
  for (int64_t i = 0; i < first + count; ++i, at += step)
    if (i >= first) positions.push_back(static_cast<int>(at) < source ? static_cast<int>(at) : -1);
  return positions;
}

Image nearest(const Image& image, int64_t width, int64_t height, const Region& region) {
  Image out = blank(region.width, region.height);
  const auto columns = nearest_positions(image.width, width, region.x, region.width);
  const auto rows = nearest_positions(image.height, height, region.y, region.height);
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x)
      if (rows[y] >= 0 && columns[x] >= 0)
        std::memcpy(row_of(out, y) + size_t{3} * x, row_of(image, rows[y]) + size_t{3} * columns[x], 3);
  return out;
}

Status check(const Image& image, int64_t width, int64_t height, const Region& r) {
  if (image.width < 1 || image.height < 1 || image.pixels.size() != size_t{3} * image.width * image.height)
    return usage_error("image of {}x{} pixels with {} bytes", image.width, image.height, image.pixels.size());
  if (width < 1 || height < 1 || width > kMaxScaledSide || height > kMaxScaledSide)
    return usage_error("a {}x{} image would become {}x{}; 1 to {} a side are possible: crop it first",
                       image.width, image.height, width, height, kMaxScaledSide);
  if (r.x < 0 || r.y < 0 || r.width < 1 || r.height < 1 || r.x > width - r.width || r.y > height - r.height)
    return usage_error("region {}x{} at ({}, {}) is not inside an image of {}x{}", r.width, r.height, r.x,
                       r.y, width, height);
  constexpr int64_t kMaxPixels = int64_t{1} << 29;
  if (int64_t{r.width} * r.height > kMaxPixels)
    return usage_error("{}x{} pixels are more than the {} that a resize gives", r.width, r.height,
                       kMaxPixels);
  return {};
}

}  // namespace

Result<Image> crop(const Image& image, const Region& region) try {
  VTL_TRY(check(image, image.width, image.height, region));
  Image out = blank(region.width, region.height);
  for (int y = 0; y < out.height; ++y)
    std::memcpy(row_of(out, y), row_of(image, region.y + y) + 3 * region.x, size_t{3} * out.width);
  return out;
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to crop {}x{} pixels", region.width, region.height);
}

Result<Image> resize_region(const Image& image, int64_t width, int64_t height, Interpolation interpolation,
                            const Region& region) try {
  VTL_TRY(check(image, width, height, region));
  const bool scale_x = width != image.width, scale_y = height != image.height;
  if (!scale_x && !scale_y) return crop(image, region);
  if (interpolation == Interpolation::kNearest) return nearest(image, width, height, region);

  const Taps x = scale_x ? make_taps(interpolation, image.width, width, region.x, region.width) : Taps{};
  const Taps y = scale_y ? make_taps(interpolation, image.height, height, region.y, region.height) : Taps{};
  if (!scale_y) return horizontal_pass(image, x, static_cast<int>(region.y), region.height);
  if (!scale_x) return vertical_pass(image, y, 0, region.x, region.width);
  // Pillow 13 shrinks the height first where that leaves the other pass much less to do.
  const int64_t fewer_rows = image.height - height, fewer_columns = image.width - width;
  if (fewer_rows > 0 && fewer_rows > fewer_columns * 2)
    return horizontal_pass(vertical_pass(image, y, 0, 0, image.width), x, 0, region.height);
  const Image narrow = horizontal_pass(image, x, y.begin, y.end - y.begin);
  return vertical_pass(narrow, y, y.begin, 0, narrow.width);
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to resize {}x{} pixels to {}x{}", image.width, image.height, width,
                        height);
}

Result<Image> resize(const Image& image, int width, int height, Interpolation interpolation) {
  return resize_region(image, width, height, interpolation, {0, 0, width, height});
}

}  // namespace vitrail
