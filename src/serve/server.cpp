// SPDX-License-Identifier: Apache-2.0
#include "serve/server.h"

#include <sys/resource.h>

#include <algorithm>

#include "core/error.h"
#include "core/thread_pool.h"

namespace vitrail::serve {
namespace {

// As many connections as the system lets this process have.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(ServerOptions options) {
  raise_file_limit();
  std::unique_ptr<Server> server(new Server);
  server->options_ = std::move(options);
  ServerOptions& o = server->options_;
  const int cores = available_cores();
  if (o.io_threads == 0) o.io_threads = std::clamp(cores / 4, 2, 16);
  if (o.service.decode_threads == 0) o.service.decode_threads = std::max(1, cores / 2);
  VTL_ASSIGN(server->telemetry_, Telemetry::create(o.log, o.traces));
  o.repository.log = [telemetry = server->telemetry_](const std::string& text) { telemetry->log().write(LogLevel::kInfo, text); };
  VTL_ASSIGN(server->repository_, Repository::open(o.repository));
  server->service_ = std::make_unique<Service>(*server->repository_, *server->telemetry_, o.service);
  o.http.budget = std::make_shared<BodyBudget>(o.max_body_total);
  server->io_ = std::make_unique<IoThread>();
  std::vector<asio::io_context*> lanes;
  for (int i = 0; i < o.io_threads; ++i) lanes.push_back(&server->lanes_.emplace_back(std::make_unique<IoThread>())->io);
  VTL_ASSIGN(server->http_, HttpServer::listen(server->io_->io, lanes, o.http, make_routes(*server->service_, o.access, o.http.max_body)));
  if (o.metrics_port) {
    HttpOptions http = o.http;
    http.port = *o.metrics_port;
    http.max_body = 4096;
    http.tls.reset();
    server->system_ = std::make_unique<SystemMetrics>(Nvml::open());
    VTL_ASSIGN(server->metrics_,
               HttpServer::listen(server->io_->io, {&server->io_->io}, http, make_metrics_routes(*server->service_, *server->system_)));
  }
  if (o.grpc_port) {
    VTL_ASSIGN(server->grpc_, GrpcServer::listen(*server->service_, {o.http.address, *o.grpc_port, o.http.max_body, o.max_body_total, o.http.tls}, o.access));
  }
  if (o.repository.control == Control::kPoll) {
    server->poll_timer_ = std::make_unique<asio::steady_timer>(server->io_->io);
    server->poll_later();
  }
  server->io_->start();
  for (const auto& lane : server->lanes_) lane->start();
  return server;
}

// The folder is read on the thread that loads models; the next wait begins when that is done.
void Server::poll_later() {
  poll_timer_->expires_after(std::chrono::microseconds(static_cast<int64_t>(options_.poll_seconds * 1e6)));
  poll_timer_->async_wait([this](const error_code& error) {
    if (error || !service_->ready()) return;
    service_->poll([this] { asio::post(io_->io, [this] { poll_later(); }); });
  });
}

Status Server::drain() {
  if (!http_) return {};
  service_->drain();
  http_->drain();
  std::thread grpc;
  if (grpc_) grpc = std::thread([this] { grpc_->drain(options_.drain_seconds); });
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.drain_seconds);
  while (http_->connections() > 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (grpc.joinable()) grpc.join();
  const size_t left = http_->connections();
  repository_->stop();
  if (metrics_) metrics_->drain();
  if (left == 0) return {};
  return unavailable("{} connections were still busy after {} s and have been cut", left, options_.drain_seconds);
}

Server::~Server() {
  (void)drain();
  if (io_) io_->stop();
  for (const auto& lane : lanes_) lane->stop();
  http_.reset();
  metrics_.reset();
  grpc_.reset();
  service_.reset();
  repository_.reset();
  poll_timer_.reset();
  lanes_.clear();  // ends what was still connected
  io_.reset();
}

}  // namespace vitrail::serve
