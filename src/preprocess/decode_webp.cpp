// SPDX-License-Identifier: Apache-2.0
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>
#include <utility>

#include "core/error.h"
#include "preprocess/codec.h"

namespace vitrail::codec {
namespace {

const char* reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the file is cut off";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "not enough memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it uses a feature that libwebp does not know";
    default:
      return "the data is corrupt";
  }
}

// The EXIF chunk of the RIFF container; chunks are padded to an even length.
int orientation_of(Bytes file) {
  for (size_t at = 12; at + 8 <= file.size();) {
    uint32_t size;
    std::memcpy(&size, file.data() + at + 4, 4);
    if (size > file.size() - at - 8) return 1;
    Bytes chunk = file.subspan(at + 8, size);
    if (std::memcmp(file.data() + at, "EXIF", 4) == 0) {
      if (size > 6 && std::memcmp(chunk.data(), "Exif\0\0", 6) == 0) chunk = chunk.subspan(6);
      return exif_orientation(chunk);
    }
    at += 8 + size_t{size} + (size & 1);
  }
  return 1;
}

// The first picture of an animation, on its canvas.
Result<Image> first_frame(Bytes file, Image image) {
  WebPAnimDecoderOptions options;
  if (!WebPAnimDecoderOptionsInit(&options))
    return unavailable("libwebpdemux is not the version Vitrail was built with");
  options.color_mode = MODE_RGBA;
  options.use_threads = 0;
  const WebPData data{as_u8(file), file.size()};
  const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(WebPAnimDecoderNew(&data, &options),
                                                                             WebPAnimDecoderDelete);
  uint8_t* rgba = nullptr;
  int time = 0;
  if (!decoder || !WebPAnimDecoderGetNext(decoder.get(), &rgba, &time))
    return bad_input("broken WebP: its first frame cannot be decoded");
  for (size_t i = 0; i < image.pixels.size() / 3; ++i) std::memcpy(&image.pixels[3 * i], rgba + 4 * i, 3);
  return image;
}

}  // namespace

Result<Image> decode_webp(Bytes file, PixelLimit limit, int& orientation) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config))
    return unavailable("libwebp is not the version Vitrail was built with");
  VP8StatusCode status = WebPGetFeatures(as_u8(file), file.size(), &config.input);
  if (status != VP8_STATUS_OK) return bad_input("broken WebP: {}", reason(status));

  // A single colour takes next to nothing in lossless WebP, so the file's size bounds nothing.
  VTL_ASSIGN(Image image, new_image(config.input.width, config.input.height, file.size(), 0, limit));
  if (config.input.has_animation) return first_frame(file, std::move(image));
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.pixels.data(), image.width * 3, image.pixels.size()};
  status = WebPDecode(as_u8(file), file.size(), &config);
  if (status != VP8_STATUS_OK) return bad_input("broken WebP: {}", reason(status));
  orientation = orientation_of(file);
  return image;
}

}  // namespace vitrail::codec
