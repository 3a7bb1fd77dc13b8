// SPDX-License-Identifier: Apache-2.0
#include "core/text_table.h"

#include <algorithm>

namespace vitrail {
namespace {

size_t width(const std::string& text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

// 12.5, -1, 98 %, <0.1, –, or nothing.
bool is_number(const std::string& cell) {
  const size_t digit = cell.find_first_of("0123456789");
  return cell.empty() || digit == 0 || (digit == 1 && cell.find_first_of("+-<>~") == 0) || cell.starts_with("–");
}

}  // namespace

std::string printable(std::string text) {
  for (char& c : text) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7F) c = '?';
  }
  return text;
}

void TextTable::add_row(std::vector<std::string> cells) {
  cells.resize(header_.size());
  for (std::string& cell : cells) {
    cell = printable(std::move(cell));
    std::ranges::replace(cell, '\n', ' ');
  }
  rows_.push_back(std::move(cells));
}

std::string TextTable::str() const {
  std::vector<size_t> widths;
  for (const std::string& title : header_) widths.push_back(width(title));
  for (const auto& row : rows_) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
  }
  std::vector<bool> left(header_.size());
  for (size_t c = 0; c < left.size(); ++c)
    left[c] = c == 0 || !std::ranges::all_of(rows_, [c](const auto& row) { return is_number(row[c]); });
  std::string out;
  auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t c = 0; c < cells.size(); ++c) {
      const std::string pad(widths[c] - width(cells[c]), ' ');
      text += (c == 0 ? "" : "  ") + (left[c] ? cells[c] + pad : pad + cells[c]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + '\n';
  };
  line(header_);
  size_t total = header_.empty() ? 0 : 2 * (header_.size() - 1);
  for (size_t w : widths) total += w;
  for (size_t i = 0; i < total; ++i) out += "─";
  out += '\n';
  for (const auto& row : rows_) line(row);
  return out;
}

}  // namespace vitrail
