// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "serve/grpc_server.h"
#include "serve/http_routes.h"
#include "serve/http_server.h"
#include "serve/service.h"

namespace vitrail::serve {

struct ServerOptions {
  RepositoryOptions repository;  // its log is the server's
  LogOptions log;
  TraceOptions traces;
  HttpOptions http;
  std::optional<uint16_t> grpc_port = 8001, metrics_port = 8002;  // nothing: no such port
  AccessOptions access;
  int io_threads = 0;      // 0: a quarter of the cores, 2 to 16
  ServiceOptions service{.decode_threads = 0};        // 0: half of the cores
  uint64_t max_body_total = uint64_t{1} << 30;         // bytes of all bodies held at once, of HTTP and of gRPC each
  double drain_seconds = 30;
  double poll_seconds = 15;  // between two looks at the folder, with Control::kPoll
};

// An event loop and the thread that runs it.
class IoThread {
 public:
  ~IoThread() { stop(); }
  void start() {
    thread_ = std::thread([this] { io.run(); });
  }
  void stop() {
    work_.reset();
    io.stop();
    if (thread_.joinable()) thread_.join();
  }
  asio::io_context io{1};

 private:
  asio::executor_work_guard<asio::io_context::executor_type> work_{io.get_executor()};
  std::thread thread_;
};

// The whole server: models, ports and threads.
class Server {
 public:
  // Loads the models, then listens.
  static Result<std::unique_ptr<Server>> start(ServerOptions options);
  ~Server();

  uint16_t http_port() const { return http_->port(); }
  uint16_t metrics_port() const { return metrics_ ? metrics_->port() : uint16_t{0}; }
  uint16_t grpc_port() const { return grpc_ ? grpc_->port() : uint16_t{0}; }
  Repository& repository() { return *repository_; }
  Log& log() { return telemetry_->log(); }

  // Not ready any more, answers what has come, ends. kUnavailable when connections were still busy after
  // drain_seconds; they are cut then.
  Status drain();

 private:
  Server() = default;
  ServerOptions options_;
  std::shared_ptr<Telemetry> telemetry_;  // outlives all else
  std::unique_ptr<Repository> repository_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<SystemMetrics> system_;
  std::unique_ptr<IoThread> io_;                  // accepts, polls, answers on the metrics port
  std::vector<std::unique_ptr<IoThread>> lanes_;  // connections
  std::unique_ptr<HttpServer> http_, metrics_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<asio::steady_timer> poll_timer_;

  void poll_later();
};

}  // namespace vitrail::serve
