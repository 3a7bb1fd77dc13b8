// SPDX-License-Identifier: Apache-2.0
#include "preprocess/dataset.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/files.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

bool is_image_name(const fs::path& path) {
  constexpr std::array<std::string_view, 7> kExtensions{".jpg", ".jpeg", ".png", ".webp",
                                                        ".bmp", ".ppm",  ".pgm"};
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return std::ranges::find(kExtensions, extension) != kExtensions.end();
}

// Appends the images under `root`. Folders wait on a list, so depth costs no stack; `seen` holds their real
// paths.
Status collect(const fs::path& root, std::vector<std::string>& images) {
  std::vector<fs::path> waiting{root};
  std::set<fs::path> seen;
  while (!waiting.empty()) {
    const fs::path folder = std::move(waiting.back());
    waiting.pop_back();
    std::error_code error;
    fs::path real = fs::canonical(folder, error);
    if (!error && !seen.insert(std::move(real)).second) continue;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      std::error_code broken_link;  // its type is then neither
      if (it->is_directory(broken_link))
        waiting.push_back(it->path());
      else if (is_image_name(it->path()) && it->is_regular_file(broken_link))
        images.push_back(it->path().string());
    }
    if (error) return io_error("{}: {}", folder.string(), error.message());
  }
  return {};
}

// Whether every byte belongs to a well-formed sequence (RFC 3629: no overlong forms, no surrogates, up to
// U+10FFFF).
bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xc2 && lead <= 0xdf   ? 1
                     : (lead & 0xf0) == 0xe0        ? 2
                     : lead >= 0xf0 && lead <= 0xf4 ? 3
                                                    : 0;
    if (more == 0 || text.size() - i < static_cast<size_t>(more)) return false;
    uint32_t code = lead & (0x3f >> more);
    for (int k = 0; k < more; ++k, ++i) {
      const auto next = static_cast<uint8_t>(text[i]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    if (more == 2 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) return false;
    if (more == 3 && (code < 0x10000 || code > 0x10ffff)) return false;
  }
  return true;
}

}  // namespace

Result<std::vector<std::string>> list_images(const std::string& folder) try {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    return bad_input("{}: {}", folder, error ? error.message() : "not a folder");
  std::vector<std::string> images;
  VTL_TRY(collect(folder, images));
  if (images.empty())
    return bad_input("{}: no image in this folder (jpg, jpeg, png, webp, bmp, ppm, pgm)", folder);
  std::ranges::sort(images);
  return images;
} catch (const std::exception& e) {
  return io_error("{}: {}", folder, e.what());
}

std::string class_folder(const std::string& path) { return fs::path(path).parent_path().filename().string(); }

Result<std::vector<std::string>> load_labels(const std::string& path) {
  constexpr size_t kMaxBytes = size_t{64} << 20;
  VTL_ASSIGN(const std::string content, read_file(path, kMaxBytes));
  std::string_view rest = content;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  while (!rest.empty() && (rest.back() == '\n' || rest.back() == '\r')) rest.remove_suffix(1);
  if (rest.empty()) return bad_input("{}: no label in this file", path);

  std::vector<std::string> labels;
  while (!rest.empty()) {
    const size_t length = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, length);
    rest.remove_prefix(std::min(length + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty())
      return bad_input("{}: line {} is blank; each line names a class", path, labels.size() + 1);
    if (!is_utf8(line)) return bad_input("{}: line {} is not UTF-8", path, labels.size() + 1);
    labels.emplace_back(line);
  }
  return labels;
}

}  // namespace vitrail
