// SPDX-License-Identifier: Apache-2.0
#include "preprocess/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "core/error.h"
#include "preprocess/float_resize.h"
#include "preprocess/resample.h"

namespace vitrail {
namespace {

Image blank(int width, int height) {
  return {width, height, std::vector<uint8_t>(size_t{3} * width * height)};
}

size_t stride_of(const Image& image) { return size_t{3} * image.width; }
const uint8_t* row_of(const Image& image, int64_t y) { return image.pixels.data() + stride_of(image) * y; }
uint8_t* row_of(Image& image, int64_t y) { return image.pixels.data() + stride_of(image) * y; }

// Rows [first_row, first_row + rows) of `in`, scaled along x.
Image horizontal_pass(const Image& in, const Taps& taps, int64_t first_row, int rows) {
  Image out = blank(static_cast<int>(taps.windows.size()), rows);
  resample::Resampler().horizontal(std::span(in.pixels).subspan(stride_of(in) * first_row), stride_of(in), rows, taps,
                                   out.pixels.data());
  return out;
}

// Columns [first_column, first_column + columns) of `in`, scaled along y. Row `row_offset` of the source is
// the first row of `in`.
Image vertical_pass(const Image& in, const Taps& taps, int64_t row_offset, int64_t first_column, int columns) {
  Image out = blank(columns, static_cast<int>(taps.windows.size()));
  const resample::Resampler resampler;
  for (int y = 0; y < out.height; ++y)
    resampler.vertical(row_of(in, taps.windows[y].first - row_offset) + size_t{3} * first_column, stride_of(in), taps,
                       taps.windows[y], stride_of(out), row_of(out, y));
  return out;
}

// Source positions, -1 past the end: as Pillow's ImagingScaleAffine finds them, by adding up steps, or as PyTorch's
// nearest_neighbor_compute_source_index, in float.
std::vector<int> nearest_positions(int source, int64_t target, int64_t first, int count, Arithmetic arithmetic) {
  std::vector<int> positions;
  if (arithmetic != Arithmetic::kPillow) {
    const float scale = static_cast<float>(source) / static_cast<float>(target);
    for (int64_t i = first; i < first + count; ++i)
      positions.push_back(std::min(static_cast<int>(std::floor(static_cast<float>(i) * scale)), source - 1));
    return positions;
  }
  const double step = static_cast<double>(source) / static_cast<double>(target);
  double at = step * 0.5;
  for (int64_t i = 0; i < first + count; ++i, at += step)
    if (i >= first) positions.push_back(static_cast<int>(at) < source ? static_cast<int>(at) : -1);
  return positions;
}

Image nearest(const Image& image, const Place& place, int64_t width, int64_t height, const Region& region, Arithmetic arithmetic) {
  Image out = blank(region.width, region.height);
  const auto columns = nearest_positions(place.width, width, region.x, region.width, arithmetic);
  const auto rows = nearest_positions(place.height, height, region.y, region.height, arithmetic);
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x)
      if (rows[y] >= 0 && columns[x] >= 0)
        std::memcpy(row_of(out, y) + size_t{3} * x,
                    row_of(image, rows[y] - place.y) + size_t{3} * (columns[x] - place.x), 3);
  return out;
}

Status check(int source_width, int source_height, int64_t width, int64_t height, const Scaling& scaling,
             const Region& r) {
  if (source_width < 1 || source_height < 1)
    return usage_error("an image of {}x{} pixels cannot be resized", source_width, source_height);
  if (scaling.arithmetic != Arithmetic::kPillow && scaling.interpolation > Interpolation::kBicubic)
    return usage_error("torchvision has nearest, bilinear and bicubic for tensors, nothing else");
  if (width < 1 || height < 1 || width > kMaxScaledSide || height > kMaxScaledSide)
    return usage_error("a {}x{} image would become {}x{}; 1 to {} a side are possible: crop it first",
                       source_width, source_height, width, height, kMaxScaledSide);
  if (r.x < 0 || r.y < 0 || r.width < 1 || r.height < 1 || r.x > width - r.width || r.y > height - r.height)
    return usage_error("region {}x{} at ({}, {}) is not inside an image of {}x{}", r.width, r.height, r.x,
                       r.y, width, height);
  constexpr int64_t kMaxPixels = int64_t{1} << 29;
  if (int64_t{r.width} * r.height > kMaxPixels)
    return usage_error("{}x{} pixels are more than the {} that a resize gives", r.width, r.height,
                       kMaxPixels);
  return {};
}

Status check_pixels(const Image& image) {
  if (image.width < 1 || image.height < 1 || image.pixels.size() != size_t{3} * image.width * image.height)
    return usage_error("image of {}x{} pixels with {} bytes", image.width, image.height, image.pixels.size());
  return {};
}

// The taps of one axis; none where it keeps its size, so that nothing is rounded there.
Taps axis_taps(const Scaling& scaling, int source, int64_t target, int64_t first, int count) {
  if (source == target) return {{}, {}, {}, kWeightBits, static_cast<int32_t>(first), static_cast<int32_t>(first) + count};
  return make_taps(scaling.interpolation, source, target, first, count, scaling.arithmetic);
}

void shift(Taps& taps, int64_t by) {
  for (Taps::Window& window : taps.windows) window.first += static_cast<int32_t>(by);
  taps.begin += static_cast<int32_t>(by);
  taps.end += static_cast<int32_t>(by);
}

Image copy_region(const Image& image, const Region& region) {
  Image out = blank(region.width, region.height);
  for (int y = 0; y < out.height; ++y)
    std::memcpy(row_of(out, y), row_of(image, region.y + y) + 3 * region.x, stride_of(out));
  return out;
}

}  // namespace

Result<Image> crop(const Image& image, const Region& region) try {
  VTL_TRY(check_pixels(image));
  VTL_TRY(check(image.width, image.height, image.width, image.height, {}, region));
  return copy_region(image, region);
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to crop {}x{} pixels", region.width, region.height);
}

Result<Region> source_region(int source_width, int source_height, int64_t width, int64_t height,
                             const Scaling& scaling, const Region& region) try {
  VTL_TRY(check(source_width, source_height, width, height, scaling, region));
  if (scaling.interpolation == Interpolation::kNearest) return Region{0, 0, source_width, source_height};
  // The last windows of an axis end last, the first begin first.
  auto range = [&](int source, int64_t target, int64_t first, int count) {
    if (scaling.arithmetic == Arithmetic::kTorchFloat && source != target)
      return std::pair(make_float_taps(scaling.interpolation, source, target, first, 1).begin,
                       make_float_taps(scaling.interpolation, source, target, first + count - 1, 1).end);
    const Taps head = axis_taps(scaling, source, target, first, 1);
    const Taps tail = axis_taps(scaling, source, target, first + count - 1, 1);
    return std::pair(head.begin, tail.end);
  };
  const auto [left, right] = range(source_width, width, region.x, region.width);
  const auto [top, bottom] = range(source_height, height, region.y, region.height);
  return Region{left, top, right - left, bottom - top};
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to resize {}x{} pixels to {}x{}", source_width, source_height, width,
                        height);
}

Status check_source(const Image& image, const Place& place, int64_t width, int64_t height, const Scaling& scaling,
                    const Region& region) {
  VTL_TRY(check_pixels(image));
  VTL_ASSIGN(const Region needed, source_region(place.width, place.height, width, height, scaling, region));
  if (place.x < 0 || place.y < 0 || place.x > needed.x || place.y > needed.y ||
      place.x + image.width < needed.x + needed.width || place.y + image.height < needed.y + needed.height)
    return usage_error("a resize needs {}x{} pixels from ({}, {}); {}x{} from ({}, {}) were given", needed.width,
                       needed.height, needed.x, needed.y, image.width, image.height, place.x, place.y);
  return {};
}

Result<Image> resize_region(const Image& image, const Place& place, int64_t width, int64_t height,
                            const Scaling& scaling, const Region& region) try {
  VTL_TRY(check_source(image, place, width, height, scaling, region));
  const bool scale_x = width != place.width, scale_y = height != place.height;
  if (!scale_x && !scale_y)
    return copy_region(image, {region.x - place.x, region.y - place.y, region.width, region.height});
  if (scaling.interpolation == Interpolation::kNearest)
    return nearest(image, place, width, height, region, scaling.arithmetic);

  Taps x = axis_taps(scaling, place.width, width, region.x, region.width);
  const Taps y = axis_taps(scaling, place.height, height, region.y, region.height);
  shift(x, -place.x);
  if (!scale_y) return horizontal_pass(image, x, region.y - place.y, region.height);
  if (!scale_x) return vertical_pass(image, y, place.y, region.x - place.x, region.width);
  // Pillow 13 shrinks the height first where that leaves the other pass much less to do.
  const int64_t fewer_rows = place.height - height, fewer_columns = place.width - width;
  if (scaling.arithmetic == Arithmetic::kPillow && fewer_rows > 0 && fewer_rows > fewer_columns * 2)
    return horizontal_pass(vertical_pass(image, y, place.y, 0, image.width), x, 0, region.height);
  const Image narrow = horizontal_pass(image, x, y.begin - place.y, y.end - y.begin);
  return vertical_pass(narrow, y, y.begin, 0, narrow.width);
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to resize {}x{} pixels to {}x{}", place.width, place.height, width,
                        height);
}

Result<Image> resize(const Image& image, int width, int height, const Scaling& scaling) {
  return resize_region(image, {0, 0, image.width, image.height}, width, height, scaling, {0, 0, width, height});
}

}  // namespace vitrail
