// SPDX-License-Identifier: Apache-2.0
// Encoders for the tests' own pictures.
#pragma once

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "vitrail/image.h"

namespace vitrail::testing {

// Smooth colours with some noise, so that no channel, row or column equals another.
inline Image test_picture(int width, int height, unsigned seed = 1) {
  std::mt19937 random(seed);
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        image.pixels.push_back(static_cast<uint8_t>((x * (3 + c) + y * (5 - c) + random() % 16) % 256));
  return image;
}

struct JpegOptions {
  J_COLOR_SPACE color = JCS_YCbCr;  // as stored; JCS_CMYK and JCS_YCCK take black from the green channel
  int h_samp = 2, v_samp = 2;       // subsampling of the chroma
  bool progressive = false;
};

inline std::string encode_jpeg(const Image& image, const JpegOptions& options = {}) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  const bool four = options.color == JCS_CMYK || options.color == JCS_YCCK;
  info.image_width = image.width;
  info.image_height = image.height;
  info.input_components = four ? 4 : 3;
  info.in_color_space = four ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, options.color);
  info.comp_info[0].h_samp_factor = options.h_samp;
  info.comp_info[0].v_samp_factor = options.v_samp;
  if (options.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  std::vector<uint8_t> row(size_t{4} * image.width);
  while (info.next_scanline < info.image_height) {
    const uint8_t* in = &image.pixels[size_t{3} * image.width * info.next_scanline];
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < 3; ++c) row[x * info.input_components + c] = in[3 * x + c];
      if (four) row[x * 4 + 3] = in[3 * x + 1];
    }
    JSAMPROW rows[] = {row.data()};
    jpeg_write_scanlines(&info, rows, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string out(reinterpret_cast<char*>(data), size);
  std::free(data);
  return out;
}

inline std::string encode_png(const Image& image) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = image.width;
  header.height = image.height;
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  png_image_write_get_memory_size(header, size, 0, image.pixels.data(), 0, nullptr);
  std::string out(size, '\0');
  png_image_write_to_memory(&header, out.data(), &size, 0, image.pixels.data(), 0, nullptr);
  out.resize(size);
  return out;
}

inline std::string encode_webp_lossless(const Image& image) {
  uint8_t* data = nullptr;
  const size_t size =
      WebPEncodeLosslessRGB(image.pixels.data(), image.width, image.height, image.width * 3, &data);
  std::string out(reinterpret_cast<char*>(data), size);
  WebPFree(data);
  return out;
}

inline std::string encode_ppm(const Image& image) {
  std::string out = "P6 " + std::to_string(image.width) + " " + std::to_string(image.height) + "\n255\n";
  return out.append(image.pixels.begin(), image.pixels.end());
}

// 24 bits, rows from the bottom, padded to 4 bytes.
inline std::string encode_bmp(const Image& image) {
  std::string out = "BM";
  auto put = [&](uint32_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(v >> (8 * i) & 0xff);
  };
  const int stride = (image.width * 3 + 3) / 4 * 4;
  put(54 + stride * image.height, 4), put(0, 4), put(54, 4);
  put(40, 4), put(image.width, 4), put(image.height, 4), put(1, 2), put(24, 2);
  for (int i = 0; i < 6; ++i) put(0, 4);
  for (int y = image.height - 1; y >= 0; --y) {
    for (int x = 0; x < image.width; ++x)
      for (int c = 2; c >= 0; --c)
        out += static_cast<char>(image.pixels[(size_t{1} * y * image.width + x) * 3 + c]);
    out.append(stride - image.width * 3, '\0');
  }
  return out;
}

inline std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace vitrail::testing
