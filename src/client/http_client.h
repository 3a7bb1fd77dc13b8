// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrail/status.h"

namespace vitrail::client {

struct Response {
  int status = 0;
  std::string body;
  std::string header_length;  // Inference-Header-Content-Length; empty: not there
};

// One HTTP connection that is opened when it is needed. Used by one thread at a time.
class HttpClient {
 public:
  // kUsage when `url` is no "http://host:port" and no "https://host:port". With the latter the server's certificate must be
  // one for that host that the system's authorities (or those of SSL_CERT_FILE, as OpenSSL reads it) vouch for.
  static Result<std::unique_ptr<HttpClient>> create(const std::string& url, std::chrono::milliseconds timeout);
  ~HttpClient();

  // Any status is a response; kIo when there is none in time. A connection that the server closed while it was idle is
  // opened again, once. The body is its parts one behind the other.
  Result<Response> request(std::string_view method, const std::string& target, std::span<const std::string_view> body,
                           const std::vector<std::pair<std::string, std::string>>& headers = {});

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail::client
