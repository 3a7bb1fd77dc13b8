// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitrail::serve {

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;

struct TraceContext {
  TraceId trace{};
  SpanId span{};
  bool sampled = false;
  bool valid() const { return trace != TraceId{} && span != SpanId{}; }
};

// The header of the W3C's recommendation "Trace Context" (level 1): version-trace-parent-flags. Nothing when it is not
// that, as the recommendation has it; of later versions the fields known here are read.
std::optional<TraceContext> parse_traceparent(std::string_view text);

template <size_t N>
std::string hex_of(const std::array<uint8_t, N>& bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const uint8_t b : bytes) out += {kDigits[b >> 4], kDigits[b & 15]};
  return out;
}

}  // namespace vitrail::serve
