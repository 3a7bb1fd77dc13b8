// SPDX-License-Identifier: Apache-2.0
#include "report/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace vitrail::report {
namespace {

// Commas between the thousands.
std::string grouped(std::string text) {
  size_t point = std::min(text.find('.'), text.size());
  const size_t first = text[0] == '-' ? 1 : 0;
  while (point > first + 3) text.insert(point -= 3, ",");
  return text;
}

}  // namespace

std::string number(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  if (value == 0) return "0";
  const double size = std::abs(value);
  const int whole = size < 1 ? 0 : static_cast<int>(std::floor(std::log10(size))) + 1;
  const int extra = size < 0.1 ? static_cast<int>(-std::floor(std::log10(size))) - 1 : 0;
  std::string text = fmt::format("{:.{}f}", value, std::clamp(digits - whole + std::min(extra, 9), 0, 12));
  return grouped(std::move(text));
}

std::string tick_text(double value) {
  return std::abs(value) < 1e12 ? grouped(fmt::format("{}", std::round(value * 1e9) / 1e9))
                                : fmt::format("{:g}", value);
}

std::string milliseconds(double microseconds) { return number(microseconds / 1e3); }
std::string mebibytes(double bytes) { return number(bytes / (1 << 20)); }
std::string percent(double share, int decimals) { return fmt::format("{:.{}f} %", share * 100, decimals); }
std::string times(double factor) { return number(factor) + "×"; }

std::string scientific(const std::optional<double>& value) {
  if (!value) return "–";
  return *value == 0 ? "0" : fmt::format("{:.2e}", *value);
}

std::string dash_or(const std::optional<double>& value, std::string (*format)(double)) {
  return value ? format(*value) : "–";
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

std::string shortened(std::string_view text, size_t most) {
  if (characters(text) <= most) return std::string(text);
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) starts.push_back(i);
  }
  const size_t head = most / 2, tail = most - head - 1;
  return std::string(text.substr(0, starts[head])) + "…" +
         std::string(text.substr(starts[starts.size() - tail]));
}

std::string xml(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? std::string("\uFFFD")
                                                                              : std::string(1, c);
    }
  }
  return out;
}

std::string markdown(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += ' ';
    } else {
      if (std::string_view("\\`*_[]|~>#").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace vitrail::report
