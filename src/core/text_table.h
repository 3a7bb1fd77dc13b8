// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace vitrail {

// The text with '?' for control characters other than a line's end, so that a name in a model cannot drive
// the terminal.
std::string printable(std::string text);

// Columns aligned for a terminal: the first and those of words to the left, those of numbers to the right. Widths count
// code points; cells are made printable.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : header_(std::move(header)) {}
  // Missing cells stay empty; surplus cells are dropped.
  void add_row(std::vector<std::string> cells);
  std::string str() const;  // header, rule, rows, each line ended by '\n'

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace vitrail
