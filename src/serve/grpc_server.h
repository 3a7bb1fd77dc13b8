// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "serve/http_routes.h"
#include "serve/service.h"
#include "serve/tls.h"

namespace vitrail::serve {

struct GrpcOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8001;                        // 0: any that is free
  uint64_t max_message = uint64_t{128} << 20;  // bytes of a request
  uint64_t max_total = uint64_t{1} << 30;      // bytes that gRPC holds of all requests at once
  std::optional<TlsFiles> tls{};
};

// The Open Inference Protocol over gRPC (open_inference.proto).
class GrpcServer {
 public:
  // kIo when the port cannot be had. `service` must outlive this.
  static Result<std::unique_ptr<GrpcServer>> listen(Service& service, const GrpcOptions& options, AccessOptions access);
  ~GrpcServer();

  uint16_t port() const;
  // Accepts no more; requests that have come are answered, for at most so long.
  void drain(double seconds);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrail::serve
