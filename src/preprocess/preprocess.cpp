// SPDX-License-Identifier: Apache-2.0
#include "preprocess/preprocess.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "core/error.h"
#include "preprocess/resize.h"

namespace vitrail {
namespace {

struct Size {
  int64_t width, height;
};

// Python's round(): halves go to the even neighbour (the rounding mode that every thread starts with).
int64_t python_round(double v) { return static_cast<int64_t>(std::nearbyint(v)); }

// The size of the whole picture before the centre crop (timm/data/transforms_factory.py,
// transforms_imagenet_eval).
Size scaled_size(const Image& image, const PreprocessContract& c) {
  const Size target{static_cast<int64_t>(std::floor(c.width / c.crop_pct)),
                    static_cast<int64_t>(std::floor(c.height / c.crop_pct))};
  if (c.resize_mode == ResizeMode::kSquash) return target;
  const int64_t w = image.width, h = image.height;
  if (c.resize_mode == ResizeMode::kShortest && target.width == target.height) {
    const int64_t longer = static_cast<int64_t>(static_cast<double>(target.width * std::max(w, h)) /
                                                static_cast<double>(std::min(w, h)));
    return w <= h ? Size{target.width, longer} : Size{longer, target.width};
  }
  const double ratio_w = static_cast<double>(w) / static_cast<double>(target.width);
  const double ratio_h = static_cast<double>(h) / static_cast<double>(target.height);
  const double ratio =
      c.resize_mode == ResizeMode::kLongest ? std::max(ratio_w, ratio_h) : std::min(ratio_w, ratio_h);
  // A thin picture keeps one pixel where timm would fail with none.
  return {std::max<int64_t>(1, python_round(w / ratio)), std::max<int64_t>(1, python_round(h / ratio))};
}

// Where one axis of the scaled picture and one of the output overlap, both centred (torchvision's
// center_crop).
struct Overlap {
  int64_t from;  // first pixel of the picture
  int to;        // first pixel of the output
  int count;
};

Overlap centre(int64_t scaled, int output) {
  if (scaled < output) return {0, static_cast<int>(output - scaled) / 2, static_cast<int>(scaled)};
  return {python_round(static_cast<double>(scaled - output) / 2.0), 0, output};
}

Status run(const Image& image, const PreprocessContract& c, float* out) {
  const Size scaled = scaled_size(image, c);
  const Overlap x = centre(scaled.width, c.width), y = centre(scaled.height, c.height);
  VTL_ASSIGN(const Image part, resize_region(image, scaled.width, scaled.height, c.interpolation,
                                             {x.from, y.from, x.count, y.count}));
  const bool bgr = c.color == "BGR";
  for (int channel = 0; channel < 3; ++channel) {
    float value_of[256];
    for (int v = 0; v < 256; ++v)
      value_of[v] = (static_cast<float>(v) / 255.0f - c.mean[channel]) / c.std[channel];
    float* plane = out + static_cast<size_t>(channel) * c.height * c.width;
    if (x.count < c.width || y.count < c.height) {
      const int64_t mean = std::clamp<int64_t>(python_round(255.0 * c.mean[channel]), 0, 255);
      std::fill_n(plane, static_cast<size_t>(c.height) * c.width, value_of[mean]);
    }
    const uint8_t* in = part.pixels.data() + (bgr ? 2 - channel : channel);
    for (int row = 0; row < y.count; ++row) {
      float* to = plane + static_cast<size_t>(y.to + row) * c.width + x.to;
      for (int column = 0; column < x.count; ++column, in += 3) to[column] = value_of[*in];
    }
  }
  return {};
}

}  // namespace

Status preprocess(const Image& image, const PreprocessContract& contract, float* out) try {
  VTL_TRY(check_contract(contract));
  if (image.width < 1 || image.height < 1) return usage_error("an empty image cannot be preprocessed");
  return run(image, contract, out);
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to preprocess an image of {}x{} pixels", image.width,
                        image.height);
}

}  // namespace vitrail
