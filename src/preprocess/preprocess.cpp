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

struct ValueTable {
  float of[256];
  ValueTable(const PreprocessContract& c, size_t channel) {
    for (int v = 0; v < 256; ++v) of[v] = (static_cast<float>(v) / 255.0f - c.mean[channel]) / c.std[channel];
  }
};

// Resizes and crops, and hands what is left to `write` with the place where it belongs in the output.
template <class Write>
Status fit(const Image& image, const PreprocessContract& c, Write write) try {
  VTL_TRY(check_contract(c));
  if (image.width < 1 || image.height < 1) return usage_error("an empty image cannot be preprocessed");
  const Size scaled = scaled_size(image, c);
  const Overlap x = centre(scaled.width, c.width), y = centre(scaled.height, c.height);
  VTL_ASSIGN(const Image part, resize_region(image, scaled.width, scaled.height, c.interpolation,
                                             {x.from, y.from, x.count, y.count}));
  write(part, x, y);
  return {};
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to preprocess an image of {}x{} pixels", image.width,
                        image.height);
}

// What stands where there is no picture.
uint8_t padding(const PreprocessContract& c, size_t channel) {
  return static_cast<uint8_t>(std::clamp<int64_t>(python_round(255.0 * c.mean[channel]), 0, 255));
}

}  // namespace

Status preprocess(const Image& image, const PreprocessContract& c, float* out) {
  return fit(image, c, [&](const Image& part, const Overlap& x, const Overlap& y) {
    for (size_t channel = 0; channel < 3; ++channel) {
      const ValueTable value(c, channel);
      float* plane = out + channel * static_cast<size_t>(c.height) * static_cast<size_t>(c.width);
      if (x.count < c.width || y.count < c.height)
        std::fill_n(plane, static_cast<size_t>(c.height) * c.width, value.of[padding(c, channel)]);
      const uint8_t* in = part.pixels.data() + (c.color == "BGR" ? 2 - channel : channel);
      for (int row = 0; row < y.count; ++row) {
        float* to = plane + static_cast<size_t>(y.to + row) * c.width + x.to;
        for (int column = 0; column < x.count; ++column, in += 3) to[column] = value.of[*in];
      }
    }
  });
}

Status preprocess_bytes(const Image& image, const PreprocessContract& c, uint8_t* out) {
  return fit(image, c, [&](const Image& part, const Overlap& x, const Overlap& y) {
    const size_t pixels = static_cast<size_t>(c.height) * static_cast<size_t>(c.width);
    if (x.count < c.width || y.count < c.height)
      for (size_t i = 0; i < pixels; ++i)
        for (size_t channel = 0; channel < 3; ++channel) out[3 * i + channel] = padding(c, channel);
    const bool bgr = c.color == "BGR";
    const uint8_t* in = part.pixels.data();
    for (int row = 0; row < y.count; ++row) {
      uint8_t* to = out + 3 * (static_cast<size_t>(y.to + row) * c.width + static_cast<size_t>(x.to));
      for (int column = 0; column < x.count; ++column, in += 3, to += 3)
        for (size_t channel = 0; channel < 3; ++channel) to[channel] = in[bgr ? 2 - channel : channel];
    }
  });
}

void normalise(const uint8_t* bytes, const PreprocessContract& c, float* out) {
  const size_t pixels = static_cast<size_t>(c.height) * static_cast<size_t>(c.width);
  for (size_t channel = 0; channel < 3; ++channel) {
    const ValueTable value(c, channel);
    for (size_t i = 0; i < pixels; ++i) out[channel * pixels + i] = value.of[bytes[3 * i + channel]];
  }
}

}  // namespace vitrail
