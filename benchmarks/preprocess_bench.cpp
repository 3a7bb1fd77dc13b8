// SPDX-License-Identifier: Apache-2.0
// Vitrail's part of benchmarks/preprocess.py: keeps the encoded pictures of a folder in memory and, for each line
// "MODE THREADS" on stdin, prepares them all and prints the seconds that took. Modes: exact, scaled (libjpeg shrinks
// while it decodes), whole (as exact, but every pixel is decoded), decode (nothing else).
#include <atomic>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/files.h"
#include "preprocess/dataset.h"
#include "preprocess/preprocess.h"

namespace {

using namespace vitrail;

bool prepare(const std::string& file, const std::string& mode, const PreprocessContract& contract, float* out) {
  const auto bytes = std::as_bytes(std::span(file));
  if (mode == "exact" || mode == "scaled") return preprocess_encoded(bytes, contract, out).ok();
  const auto image = decode_image(bytes);
  return image.ok() && (mode == "decode" || preprocess(*image, contract, out).ok());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: preprocess_bench FOLDER\n"), 2;
  const auto paths = list_images(argv[1]);
  if (!paths.ok()) return std::fprintf(stderr, "%s\n", paths.status().message().c_str()), 3;
  std::vector<std::string> files;
  for (const std::string& path : *paths) {
    auto file = read_file(path, kMaxImageFileBytes);
    if (!file.ok()) return std::fprintf(stderr, "%s\n", file.status().message().c_str()), 3;
    files.push_back(std::move(*file));
  }
  PreprocessContract contract;
  contract.crop_pct = 0.875;
  std::vector<float> out(files.size() * 3 * 224 * 224);
  std::string mode;
  int threads = 1;
  while (std::cin >> mode >> threads) {
    contract.decoding = mode == "scaled" ? Decoding::kScaled : Decoding::kExact;
    ThreadPool pool(threads);
    std::atomic<int> failed = 0;
    const int64_t start = steady_nanoseconds();
    pool.parallel_for(std::ssize(files), [&](int64_t i, int) {
      failed += !prepare(files[static_cast<size_t>(i)], mode, contract, &out[static_cast<size_t>(i) * 3 * 224 * 224]);
    });
    std::printf("%.9f %d\n", static_cast<double>(steady_nanoseconds() - start) * 1e-9, failed.load());
    std::fflush(stdout);
  }
}
