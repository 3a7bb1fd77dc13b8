// SPDX-License-Identifier: Apache-2.0
#include "serve/http_message.h"

#include <algorithm>
#include <charconv>

#include "serve/infer_json.h"

namespace vitrail::serve {
namespace {

std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    uint8_t byte = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
    if (error != std::errc() || end != text.data() + i + 3) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

// f(part) for each part between separators.
template <class F>
bool split(std::string_view text, char separator, F&& f) {
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    if (!f(text.substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

}  // namespace

HttpReply error_reply(const Fault& fault) {
  HttpReply reply;
  reply.status = http_status(fault.cause);
  reply.body = "{\"error\":" + json_string(fault.message) + "}";
  reply.error = fault.message;
  if (fault.cause == Cause::kBusy) reply.headers.emplace_back("Retry-After", "1");
  if (fault.cause == Cause::kUnauthorized) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

std::optional<std::string> HttpTarget::parameter(std::string_view name) const {
  for (const auto& [key, value] : query)
    if (key == name) return value;
  return std::nullopt;
}

std::optional<HttpTarget> parse_target(std::string_view target) {
  if (target.empty() || target[0] != '/') return std::nullopt;
  const size_t question = target.find('?');
  HttpTarget out;
  const bool good = split(target.substr(1, question == std::string_view::npos ? question : question - 1), '/',
                          [&](std::string_view part) {
                            const auto text = decoded(part);
                            if (text && !text->empty()) out.path.push_back(*text);
                            return text.has_value();
                          });
  if (!good) return std::nullopt;
  if (question == std::string_view::npos) return out;
  const bool parsed = split(target.substr(question + 1), '&', [&](std::string_view part) {
    const size_t equals = std::min(part.find('='), part.size());
    const auto key = decoded(part.substr(0, equals));
    const auto value = decoded(equals < part.size() ? part.substr(equals + 1) : "");
    if (key && value && !key->empty()) out.query.emplace_back(*key, *value);
    return key && value;
  });
  return parsed ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace vitrail::serve
