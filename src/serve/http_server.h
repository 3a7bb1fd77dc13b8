// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/asio.h"
#include "serve/http_message.h"
#include "serve/tls.h"
#include "vitrail/status.h"

namespace vitrail::serve {

struct HttpOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8000;  // 0: any that is free
  uint64_t max_body = uint64_t{128} << 20;
  std::shared_ptr<BodyBudget> budget{};  // of all bodies; null: none
  uint32_t max_header = 16384;
  size_t max_connections = 8192;  // more are closed as they come
  // Each for a whole message, however slowly it trickles in.
  std::chrono::milliseconds idle_timeout{300'000};  // to the end of the next request's header
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds write_timeout{60'000};
  std::optional<TlsFiles> tls{};  // nothing: plain HTTP
  std::chrono::milliseconds drain_timeout{1'000};  // what a request has left to arrive once the server stops
};

// HTTP/1.1 on one port. Requests are handed to `handler` and answered in their order on each connection.
class HttpServer {
 public:
  struct Shared;  // the implementation's
  // Binds and starts to accept on `io`; each connection lives on one of `lanes`, that with the fewest. All of them are
  // run by the caller, each by one thread. kBadInput when certificate and key cannot be used, kIo when the port cannot be
  // had.
  static Result<std::unique_ptr<HttpServer>> listen(asio::io_context& io, std::vector<asio::io_context*> lanes,
                                                    HttpOptions options, HttpHandler handler);
  ~HttpServer();

  uint16_t port() const;
  size_t connections() const;
  // Accepts no more. Requests that have arrived are answered, then connections close; a request that is half sent has
  // drain_timeout to complete.
  void drain();

 private:
  explicit HttpServer(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::shared_ptr<Shared> shared_;
};

}  // namespace vitrail::serve
