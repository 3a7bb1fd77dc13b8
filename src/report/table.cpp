// SPDX-License-Identifier: Apache-2.0
// How a table is drawn.
#include "report/table.h"

#include <fmt/format.h>

#include "core/text_table.h"
#include "report/format.h"

namespace vitrail::report {

std::string to_text(const Table& table) {
  TextTable text(table.header);
  for (const auto& row : table.rows) text.add_row(row);
  return table.title + (table.caption.empty() ? "" : " – " + table.caption) + "\n" + text.str();
}

std::string to_markdown(const Table& table) {
  std::string out = "### " + markdown(table.title) + "\n\n";
  if (!table.caption.empty()) out += markdown(table.caption) + "\n\n";
  std::string rule;
  for (size_t c = 0; c < table.header.size(); ++c) {
    out += "| " + markdown(table.header[c]) + " ";
    rule += c == 0 ? "|:--" : "|--:";
  }
  out += "|\n" + rule + "|\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const auto& row = table.rows[r];
    const std::string mark = static_cast<int>(r) == table.emphasised_row ? "**" : "";
    for (size_t c = 0; c < table.header.size(); ++c) {
      const std::string cell = c < row.size() ? markdown(row[c]) : "";
      out += "| " + (cell.empty() ? "" : mark + cell + mark) + " ";
    }
    out += "|\n";
  }
  return out + "\n";
}

std::string to_html(const Table& table) {
  std::string out =
      fmt::format("<figure class=\"table\">\n<figcaption><b>{}</b>{}</figcaption>\n", xml(table.title),
                  table.caption.empty() ? "" : " <span>" + xml(table.caption) + "</span>");
  // The frame scrolls sideways on a narrow screen; tabindex lets the keyboard do it.
  out += fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table>\n<thead><tr>",
      xml(table.title));
  for (const std::string& title : table.header) out += "<th scope=\"col\">" + xml(title) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const auto& row = table.rows[r];
    out += static_cast<int>(r) == table.emphasised_row ? "<tr class=\"best\">" : "<tr>";
    for (size_t c = 0; c < row.size() && c < table.header.size(); ++c) {
      const size_t span = c + 1 == row.size() ? table.header.size() - c : 1;
      const std::string tag = c == 0     ? "th scope=\"row\""
                              : span > 1 ? fmt::format("td class=\"none\" colspan=\"{}\"", span)
                                         : "td";
      out += fmt::format("<{}>{}</{}>", tag, xml(row[c]), c == 0 ? "th" : "td");
    }
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table>\n</div>\n</figure>\n";
}

}  // namespace vitrail::report
