// SPDX-License-Identifier: Apache-2.0
#include "preprocess/preprocess.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "preprocess/codec.h"
#include "preprocess/float_resize.h"
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
Size scaled_size(int64_t w, int64_t h, const PreprocessContract& c) {
  const Size target{static_cast<int64_t>(std::floor(c.width / c.crop_pct)),
                    static_cast<int64_t>(std::floor(c.height / c.crop_pct))};
  if (c.resize_mode == ResizeMode::kSquash) return target;
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
    for (int v = 0; v < 256; ++v) {
      const auto byte = static_cast<float>(v);  // ToTensor divides, v2.ToDtype multiplies
      of[v] = ((c.arithmetic == Arithmetic::kPillow ? byte / 255.0f : byte * (1.0f / 255.0f)) - c.mean[channel]) / c.std[channel];
    }
  }
};

// How a picture of width × height becomes the model's input.
struct Layout {
  Size scaled;
  Overlap x, y;

  Layout(int64_t width, int64_t height, const PreprocessContract& c)
      : scaled(scaled_size(width, height, c)),
        x(centre(scaled.width, c.width)),
        y(centre(scaled.height, c.height)) {}
  Region region() const { return {x.from, y.from, x.count, y.count}; }
};

Scaling scaling_of(const PreprocessContract& c) { return {c.interpolation, c.arithmetic}; }

// What of an encoded picture must be decoded.
Result<codec::Wish> wish_for(int width, int height, const PreprocessContract& c) {
  const Layout layout(width, height, c);
  codec::Wish wish;
  if (c.decoding == Decoding::kScaled)
    while (wish.shrink < 8 && width / (2 * wish.shrink) >= layout.scaled.width &&
           height / (2 * wish.shrink) >= layout.scaled.height)
      wish.shrink *= 2;
  VTL_ASSIGN(wish.region, source_region(width, height, layout.scaled.width, layout.scaled.height, scaling_of(c),
                                        layout.region()));
  return wish;
}

// Resizes and crops, and hands what is left to `write` with the place where it belongs in the output.
template <class Write>
Status fit(const Image& image, const Place& place, const PreprocessContract& c, Write write) try {
  VTL_TRY(check_contract(c));
  if (image.width < 1 || image.height < 1) return usage_error("an empty image cannot be preprocessed");
  const Layout layout(place.width, place.height, c);
  VTL_ASSIGN(const Image part, resize_region(image, place, layout.scaled.width, layout.scaled.height, scaling_of(c),
                                             layout.region()));
  write(part, layout.x, layout.y);
  return {};
} catch (const std::bad_alloc&) {
  return resource_error("not enough memory to preprocess an image of {}x{} pixels", place.width, place.height);
}

// What stands where there is no picture.
uint8_t padding(const PreprocessContract& c, size_t channel) {
  return static_cast<uint8_t>(std::clamp<int64_t>(python_round(255.0 * c.mean[channel]), 0, 255));
}

// As finish() below, where pixels are floats before they are resized.
Status finish_floats(const Image& image, const Place& place, const PreprocessContract& c, float* out) {
  VTL_TRY(check_contract(c));
  if (place.width < 1 || place.height < 1) return usage_error("an empty image cannot be preprocessed");
  const Layout layout(place.width, place.height, c);
  VTL_ASSIGN(const FloatImage part, resize_floats(image, place, layout.scaled.width, layout.scaled.height, c.interpolation,
                                                  layout.region()));
  const size_t plane = static_cast<size_t>(c.height) * static_cast<size_t>(c.width);
  for (size_t channel = 0; channel < 3; ++channel) {
    const size_t in = c.color == "BGR" ? 2 - channel : channel;
    const ValueTable bytes(c, channel);
    std::fill_n(out + channel * plane, plane, bytes.of[padding(c, channel)]);
    for (int row = 0; row < layout.y.count; ++row)
      for (int column = 0; column < layout.x.count; ++column) {
        const size_t from = static_cast<size_t>(row) * static_cast<size_t>(part.width) + static_cast<size_t>(column);
        const size_t to = static_cast<size_t>(layout.y.to + row) * static_cast<size_t>(c.width) + static_cast<size_t>(layout.x.to + column);
        out[channel * plane + to] = (part.values[3 * from + in] - c.mean[channel]) / c.std[channel];
      }
  }
  return {};
}

// Normalised planes of floats.
Status finish(const Image& image, const Place& place, const PreprocessContract& c, float* out) {
  if (c.arithmetic == Arithmetic::kTorchFloat) return finish_floats(image, place, c, out);
  return fit(image, place, c, [&](const Image& part, const Overlap& x, const Overlap& y) {
    const ValueTable values[3] = {{c, 0}, {c, 1}, {c, 2}};
    const size_t plane = static_cast<size_t>(c.height) * static_cast<size_t>(c.width);
    if (x.count < c.width || y.count < c.height)
      for (size_t channel = 0; channel < 3; ++channel)
        std::fill_n(out + channel * plane, plane, values[channel].of[padding(c, channel)]);
    const int first = c.color == "BGR" ? 2 : 0;  // where the output's first channel is in a pixel
    const uint8_t* in = part.pixels.data();
    for (int row = 0; row < y.count; ++row) {
      float* to = out + static_cast<size_t>(y.to + row) * c.width + x.to;
      for (int column = 0; column < x.count; ++column, in += 3, ++to) {
        to[0] = values[0].of[in[first]];
        to[plane] = values[1].of[in[1]];
        to[2 * plane] = values[2].of[in[2 - first]];
      }
    }
  });
}

// Bytes as they are.
Status finish(const Image& image, const Place& place, const PreprocessContract& c, uint8_t* out) {
  if (c.arithmetic == Arithmetic::kTorchFloat)
    return usage_error("\"arithmetic\": \"torchvision-float\" makes no bytes: build with --input float32, or choose pillow or torchvision");
  return fit(image, place, c, [&](const Image& part, const Overlap& x, const Overlap& y) {
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

template <class T>
Status decode_and_finish(std::span<const std::byte> file, const PreprocessContract& c, T* out, PixelLimit limit = {}) {
  VTL_TRY(check_contract(c));
  VTL_ASSIGN(const codec::Decoded decoded,
             codec::decode(file, [&](int width, int height) { return wish_for(width, height, c); }, limit));
  return finish(decoded.pixels, decoded.place, c, out);
}

template <class T>
Status prepare_file(const std::string& path, const PreprocessContract& c, T* out) {
  VTL_ASSIGN(const std::string file, read_file(path, kMaxImageFileBytes));
  return decode_and_finish(std::as_bytes(std::span(file)), c, out).with_context(path);
}

template <class T>
Status prepare_files(std::span<const std::string> paths, const PreprocessContract& c, ThreadPool& pool, T* out) {
  const size_t stride = size_t{3} * static_cast<size_t>(c.height) * static_cast<size_t>(c.width);
  std::vector<Status> results(paths.size());
  std::atomic<bool> failed = false;
  pool.parallel_for(std::ssize(paths), [&](int64_t i, int) {
    if (failed.load(std::memory_order_relaxed)) return;
    const auto at = static_cast<size_t>(i);
    try {
      results[at] = prepare_file(paths[at], c, out + at * stride);
    } catch (const std::bad_alloc&) {  // must not leave the thread
      results[at] = resource_error("{}: there is not enough memory to read it", paths[at]);
    }
    if (!results[at].ok()) failed.store(true, std::memory_order_relaxed);
  });
  for (const Status& result : results) VTL_TRY(result);
  return {};
}

}  // namespace

Status preprocess(const Image& image, const PreprocessContract& c, float* out) {
  return finish(image, {0, 0, image.width, image.height}, c, out);
}

Status preprocess_bytes(const Image& image, const PreprocessContract& c, uint8_t* out) {
  return finish(image, {0, 0, image.width, image.height}, c, out);
}

Status preprocess_encoded(std::span<const std::byte> file, const PreprocessContract& c, float* out, PixelLimit limit) {
  return decode_and_finish(file, c, out, limit);
}
Status preprocess_encoded(std::span<const std::byte> file, const PreprocessContract& c, uint8_t* out, PixelLimit limit) {
  return decode_and_finish(file, c, out, limit);
}

Status preprocess_files(std::span<const std::string> paths, const PreprocessContract& c, ThreadPool& pool,
                        float* out) {
  return prepare_files(paths, c, pool, out);
}
Status preprocess_files(std::span<const std::string> paths, const PreprocessContract& c, ThreadPool& pool,
                        uint8_t* out) {
  return prepare_files(paths, c, pool, out);
}

void normalise(const uint8_t* bytes, const PreprocessContract& c, float* out) {
  const size_t pixels = static_cast<size_t>(c.height) * static_cast<size_t>(c.width);
  for (size_t channel = 0; channel < 3; ++channel) {
    const ValueTable value(c, channel);
    for (size_t i = 0; i < pixels; ++i) out[channel * pixels + i] = value.of[bytes[3 * i + channel]];
  }
}

}  // namespace vitrail
