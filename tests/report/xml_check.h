// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace vitrail::report {

// Where a text stops being well-formed XML: tags that do not match, attributes without quotes or given twice,
// bare '&' or '<', ids used twice, control characters. Empty when all is well.
inline std::string xml_fault(std::string_view text) {
  std::vector<std::string> open;
  std::set<std::string> ids;
  size_t i = 0;
  auto fault = [&](const std::string& what) {
    return what + " near: " + std::string(text.substr(i > 60 ? i - 60 : 0, 120));
  };
  auto entity = [&] {  // at '&'
    const size_t end = text.find(';', i);
    if (end == std::string_view::npos || end - i > 8) return false;
    const std::string_view name = text.substr(i + 1, end - i - 1);
    return name == "amp" || name == "lt" || name == "gt" || name == "quot" || name.starts_with('#');
  };
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') return fault("control character");
    if (c == '&' && !entity()) return fault("bare &");
    if (c != '<') continue;
    if (text.substr(i).starts_with("<!DOCTYPE html>")) continue;
    const bool closing = text.substr(i + 1).starts_with('/');
    size_t at = i + 1 + closing;
    const size_t start = at;
    while (at < text.size() && std::isalnum(static_cast<unsigned char>(text[at]))) ++at;
    const std::string name(text.substr(start, at - start));
    if (name.empty()) return fault("bare <");
    std::set<std::string> attributes;
    for (;;) {
      while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
      if (at >= text.size()) return fault("tag without end");
      if (text[at] == '>' || text[at] == '/') break;
      const size_t equals = text.find('=', at);
      if (equals == std::string_view::npos || text.substr(equals + 1, 1) != "\"")
        return fault("attribute without quotes");
      const std::string attribute(text.substr(at, equals - at));
      const size_t end = text.find('"', equals + 2);
      if (end == std::string_view::npos) return fault("attribute without end");
      const std::string value(text.substr(equals + 2, end - equals - 2));
      if (value.find('<') != std::string::npos) return fault("< in an attribute");
      if (!attributes.insert(attribute).second) return fault("attribute twice");
      if (attribute == "id" && !ids.insert(value).second) return fault("id twice: " + value);
      at = end + 1;
    }
    const bool empty = text[at] == '/';
    if (closing) {
      if (open.empty() || open.back() != name) return fault("</" + name + "> closes nothing");
      open.pop_back();
    } else if (!empty) {
      open.push_back(name);
    }
    i = at + empty;
    if (i >= text.size() || text[i] != '>') return fault("tag without end");
  }
  return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

}  // namespace vitrail::report
