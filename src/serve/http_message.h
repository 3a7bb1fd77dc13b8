// SPDX-License-Identifier: Apache-2.0
// An HTTP exchange without the connection that it travels on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serve/body_budget.h"
#include "serve/fault.h"
#include "serve/record.h"

namespace vitrail::serve {

struct HttpRequest {
  std::string method;  // "GET"
  std::string target;  // path and query, as sent
  std::string header_length;  // Inference-Header-Content-Length; empty: not there
  std::string content_encoding, accept_encoding;
  std::string authorization;
  std::string traceparent;
  std::string peer;  // address and port
  std::shared_ptr<const HeldBody> body;
  std::shared_ptr<BodyBudget> budget{};  // that its body counts in; null: none
  bool from_loopback = false;
  bool alone = false;  // its connection has the thread that it is on for itself
  int64_t receive_start_ns = 0, receive_end_ns = 0;  // from the end of its header
  RecordPtr record{};  // null: nothing is to be told of it
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string error{};  // what an error_reply() says
  RecordPtr record{};   // of the request; it is told how sending went
};

// {"error": …} with the status of the cause.
HttpReply error_reply(const Fault& fault);

// Answers one request: calls `done` exactly once, on any thread, and gives what to call when the client goes away.
using HttpHandler = std::function<std::function<void()>(HttpRequest, std::function<void(HttpReply)> done)>;

struct HttpTarget {
  std::vector<std::string> path;  // between the slashes, percent signs resolved
  std::vector<std::pair<std::string, std::string>> query;
  std::optional<std::string> parameter(std::string_view name) const;
};
// Nothing for a target that is no path or has a broken percent sign.
std::optional<HttpTarget> parse_target(std::string_view target);

}  // namespace vitrail::serve
