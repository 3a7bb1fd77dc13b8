// SPDX-License-Identifier: Apache-2.0
#include "serve/traceparent.h"

namespace vitrail::serve {
namespace {

// Lower case alone, as the recommendation asks for.
int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

template <size_t N>
bool read(std::string_view text, std::array<uint8_t, N>& to) {
  for (size_t i = 0; i < N; ++i) {
    const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    to[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  constexpr size_t kLength = 55;  // 2-32-16-2
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  std::array<uint8_t, 1> version{}, flags{};
  TraceContext context;
  if (!read(text, version) || !read(text.substr(3), context.trace) || !read(text.substr(36), context.span) ||
      !read(text.substr(53), flags))
    return std::nullopt;
  if (version[0] == 0xff || (version[0] == 0 && text.size() != kLength)) return std::nullopt;
  if (text.size() > kLength && text[kLength] != '-') return std::nullopt;
  if (!context.valid()) return std::nullopt;
  context.sampled = (flags[0] & 1) != 0;
  return context;
}

}  // namespace vitrail::serve
