// SPDX-License-Identifier: Apache-2.0
#include "serve/grpc_server.h"

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <mutex>
#include <set>

#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "open_inference.grpc.pb.h"
#include "serve/infer_grpc.h"
#include "serve/settings_grpc.h"

namespace vitrail::serve {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

constexpr uint64_t kOwnBuffers = 8u << 20;  // what gRPC needs beside messages; it counts in its quota as well
constexpr size_t kMaxInStream = 64;  // requests of one stream that are not answered yet; more are not read

grpc::StatusCode code_of(Cause cause) {
  switch (cause) {
    case Cause::kNone:
      return grpc::StatusCode::OK;
    case Cause::kInvalid:
    case Cause::kNotAllowed:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case Cause::kUnauthorized:
      return grpc::StatusCode::UNAUTHENTICATED;
    case Cause::kForbidden:
      return grpc::StatusCode::PERMISSION_DENIED;
    case Cause::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case Cause::kTooLarge:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Cause::kCancelled:
      return grpc::StatusCode::CANCELLED;
    case Cause::kInternal:
      return grpc::StatusCode::INTERNAL;
    case Cause::kBusy:
    case Cause::kUnready:
      return grpc::StatusCode::UNAVAILABLE;
    case Cause::kExpired:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
  }
  return grpc::StatusCode::INTERNAL;
}

grpc::Status to_grpc(const Fault& fault) { return {code_of(fault.cause), fault.message}; }

bool is_loopback(const std::string& peer) {
  return peer.starts_with("ipv4:127.") || peer.starts_with("ipv6:[::1]") || peer.starts_with("ipv6:%5B::1%5D") ||
         peer.starts_with("ipv6:[::ffff:127.") || peer.starts_with("unix:");
}

// What the client's own deadline leaves, so that nobody computes an answer that nobody waits for.
void apply_deadline(std::chrono::system_clock::time_point deadline, InferRequest& request) {
  if (deadline == std::chrono::system_clock::time_point::max()) return;
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - std::chrono::system_clock::now());
  const int64_t us = std::max<int64_t>(left.count(), 1);
  if (request.timeout_us == 0 || us < request.timeout_us) request.timeout_us = us;
}

std::string_view metadata_of(const grpc::ServerContextBase& context, const char* name) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find(name);
  return it == metadata.end() ? std::string_view() : std::string_view(it->second.data(), it->second.size());
}

// What is to be told of a request, null when nothing is.
RecordPtr begin(Service& service, const grpc::ServerContextBase& context, const std::string& call, const std::string& model) {
  RecordPtr record = service.telemetry().begin(true, model, metadata_of(context, "traceparent"));
  if (!record) return record;
  record->path = call;
  record->peer = context.peer();
  record->receive_start_ns = record->receive_end_ns = steady_nanoseconds();
  return record;
}

void tell_answer(RequestRecord& record, const Fault& fault) {
  record.send_start_ns = record.send_end_ns = steady_nanoseconds();
  record.status = code_of(fault.cause);
  record.error = fault.message;
  record.failed = fault.cause == Cause::kInternal;
}

// One ModelInfer. Deletes itself when gRPC is done with it.
class InferCall : public ServerUnaryReactor {
 public:
  InferCall(Service& service, CallbackServerContext& context, const inference::ModelInferRequest& request,
            inference::ModelInferResponse& response)
      : record_(begin(service, context, "ModelInfer", request.model_name())) {
    // The message lives until Finish(), which only the answer calls.
    auto parsed = read_infer_request(std::shared_ptr<const inference::ModelInferRequest>(&request, [](auto*) {}));
    if (!parsed.ok()) {
      finish(fault_of(parsed.status()));
      return;
    }
    parsed->record = record_;
    apply_deadline(context.deadline(), *parsed);
    auto shared = shared_;
    auto cancel = service.infer(std::move(*parsed), [this, shared, &response](Reply<InferResponse> answer) {
      if (answer.ok()) write_infer_response(*answer, response);
      Service::Cancel over;  // it holds the call, and the call holds this
      {
        const std::lock_guard lock(shared->mutex);
        shared->answered = true;
        over.swap(shared->cancel);
      }
      finish(answer.fault());
    });
    std::unique_lock lock(shared->mutex);
    if (shared->answered) return;
    shared->cancel = std::move(cancel);
    if (!shared->cancelled) return;
    lock.unlock();
    shared->cancel();
  }
  void OnCancel() override {
    std::unique_lock lock(shared_->mutex);
    shared_->cancelled = true;
    const auto cancel = shared_->cancel;
    lock.unlock();
    if (cancel) cancel();
  }
  void OnDone() override {
    if (record_) record_->send_end_ns = steady_nanoseconds();
    delete this;
  }

 private:
  void finish(const Fault& fault) {
    if (record_) tell_answer(*record_, fault);
    Finish(to_grpc(fault));
  }
  const RecordPtr record_;
  // Outlives the call, which may end while its constructor still runs.
  struct Shared {
    std::mutex mutex;
    bool answered = false, cancelled = false;
    Service::Cancel cancel;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

class StreamCall;

// The streams that are open, so that a drain can end those that only wait.
struct Streams {
  std::mutex mutex;
  std::set<StreamCall*> open;
  bool draining = false;
};

// One ModelStreamInfer: requests are run as they come, answers written as they are ready.
class StreamCall : public grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse> {
 public:
  StreamCall(Service& service, const CallbackServerContext& context, std::shared_ptr<Streams> streams)
      : service_(service), context_(context), streams_(std::move(streams)) {
    {
      const std::lock_guard lock(streams_->mutex);
      streams_->open.insert(this);
      read_all_ = streams_->draining;
    }
    read_next();
  }
  // What has come is answered, then the stream ends. Under the lock of the streams, so that it is not gone.
  void drain() {
    std::unique_lock lock(mutex_);
    read_all_ = true;
    maybe_finish(lock);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      std::unique_lock lock(mutex_);
      read_all_ = true;
      return maybe_finish(lock);
    }
    std::shared_ptr<inference::ModelInferRequest> message = std::move(incoming_);
    std::unique_lock lock(mutex_);
    ++running_;
    starting_ = true;
    const bool more = running_ + outgoing_.size() < kMaxInStream && !cancelled_;
    paused_ = !more;
    if (cancelled_) read_all_ = true;
    lock.unlock();
    start(message);
    lock.lock();
    starting_ = false;
    if (!more) return maybe_finish(lock);
    lock.unlock();
    read_next();
  }
  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    outgoing_.pop_front();
    if (!ok) outgoing_.clear();
    if (!outgoing_.empty()) {
      StartWrite(&outgoing_.front());
      return;
    }
    writing_ = false;
    if (paused_ && !cancelled_) {
      paused_ = false;
      lock.unlock();
      return read_next();
    }
    maybe_finish(lock);
  }
  void OnCancel() override {
    std::unique_lock lock(mutex_);
    cancelled_ = true;
    if (paused_) read_all_ = true;
    const auto cancels = std::move(cancels_);
    cancels_.clear();
    lock.unlock();
    for (const auto& [number, cancel] : cancels) cancel();
    lock.lock();
    maybe_finish(lock);
  }
  void OnDone() override {
    {
      const std::lock_guard lock(streams_->mutex);
      streams_->open.erase(this);
    }
    delete this;
  }

 private:
  void read_next() {
    incoming_ = std::make_shared<inference::ModelInferRequest>();
    StartRead(incoming_.get());
  }

  void start(const std::shared_ptr<inference::ModelInferRequest>& message) {
    auto parsed = read_infer_request(message);
    const std::string id = message->id();
    const RecordPtr record = begin(service_, context_, "ModelStreamInfer", message->model_name());
    if (!parsed.ok()) return answer(0, id, record, Reply<InferResponse>(fault_of(parsed.status())));
    parsed->record = record;
    std::unique_lock lock(mutex_);
    const uint64_t number = ++next_;
    begun_.insert(number);
    lock.unlock();
    auto cancel = service_.infer(std::move(*parsed), [this, number, id, record](Reply<InferResponse> response) {
      answer(number, id, record, std::move(response));
    });
    keep(number, std::move(cancel));
  }

  void keep(uint64_t number, Service::Cancel cancel) {
    std::unique_lock lock(mutex_);
    if (!begun_.contains(number)) return;
    if (!cancelled_) {
      cancels_[number] = std::move(cancel);
      return;
    }
    lock.unlock();
    cancel();
  }

  void answer(uint64_t number, const std::string& id, const RecordPtr& record, Reply<InferResponse> response) {
    if (record) tell_answer(*record, response.fault());
    inference::ModelStreamInferResponse message;
    if (response.ok()) {
      write_infer_response(*response, *message.mutable_infer_response());
    } else {
      message.set_error_message(response.fault().message);
      message.mutable_infer_response()->set_id(id);
    }
    std::unique_lock lock(mutex_);
    begun_.erase(number);
    cancels_.erase(number);
    --running_;
    if (cancelled_) return maybe_finish(lock);
    outgoing_.push_back(std::move(message));
    if (writing_) return;
    writing_ = true;
    StartWrite(&outgoing_.front());
  }

  // Takes the lock, since the call may be gone once it has finished.
  void maybe_finish(std::unique_lock<std::mutex>& lock) {
    if (finished_ || !read_all_ || starting_ || running_ > 0 || writing_) return;
    finished_ = true;
    lock.unlock();
    Finish(grpc::Status::OK);
  }

  Service& service_;
  const CallbackServerContext& context_;
  const std::shared_ptr<Streams> streams_;
  std::shared_ptr<inference::ModelInferRequest> incoming_;
  std::mutex mutex_;  // guards what follows
  std::deque<inference::ModelStreamInferResponse> outgoing_;  // the first is being written
  std::set<uint64_t> begun_;
  std::map<uint64_t, Service::Cancel> cancels_;
  uint64_t next_ = 0;
  size_t running_ = 0;
  bool starting_ = false, read_all_ = false, writing_ = false, paused_ = false, cancelled_ = false, finished_ = false;
};

class Calls : public inference::GRPCInferenceService::CallbackService {
 public:
  Calls(serve::Service& service, AccessOptions access) : service_(service), access_(std::move(access)) {}

  ServerUnaryReactor* ServerLive(CallbackServerContext* context, const inference::ServerLiveRequest*,
                                 inference::ServerLiveResponse* response) override {
    response->set_live(true);
    return finish(context, {});
  }
  ServerUnaryReactor* ServerReady(CallbackServerContext* context, const inference::ServerReadyRequest*,
                                  inference::ServerReadyResponse* response) override {
    response->set_ready(service_.ready());
    return finish(context, {});
  }
  ServerUnaryReactor* ModelReady(CallbackServerContext* context, const inference::ModelReadyRequest* request,
                                 inference::ModelReadyResponse* response) override {
    response->set_ready(service_.ready() && service_.repository().find(request->name(), request->version()).ok());
    return finish(context, {});
  }
  ServerUnaryReactor* ServerMetadata(CallbackServerContext* context, const inference::ServerMetadataRequest*,
                                     inference::ServerMetadataResponse* response) override {
    return fill(context, service_.server_metadata(), response);
  }
  ServerUnaryReactor* ModelMetadata(CallbackServerContext* context, const inference::ModelMetadataRequest* request,
                                    inference::ModelMetadataResponse* response) override {
    return fill(context, service_.model_metadata(request->name(), request->version()), response);
  }
  ServerUnaryReactor* ModelConfig(CallbackServerContext* context, const inference::ModelConfigRequest* request,
                                  inference::ModelConfigResponse* response) override {
    Reply<OrderedJson> config = service_.model_config(request->name(), request->version());
    if (config.ok()) {  // the message has the map's entries
      OrderedJson& policies = (*config)["dynamic_batching"]["priority_queue_policy"];
      OrderedJson entries = OrderedJson::array();
      for (const auto& [priority, policy] : policies.items()) entries.push_back({{"key", priority}, {"value", policy}});
      policies = std::move(entries);
    }
    return fill(context, config, response->mutable_config());
  }
  ServerUnaryReactor* ModelStatistics(CallbackServerContext* context, const inference::ModelStatisticsRequest* request,
                                      inference::ModelStatisticsResponse* response) override {
    return fill(context, service_.statistics(request->name(), request->version()), response);
  }
  ServerUnaryReactor* RepositoryIndex(CallbackServerContext* context, const inference::RepositoryIndexRequest* request,
                                      inference::RepositoryIndexResponse* response) override {
    return fill(context, OrderedJson{{"models", service_.index(request->ready())}}, response);
  }
  ServerUnaryReactor* RepositoryModelLoad(CallbackServerContext* context,
                                          const inference::RepositoryModelLoadRequest* request,
                                          inference::RepositoryModelLoadResponse*) override {
    return change(context, &Repository::load, request->model_name());
  }
  ServerUnaryReactor* RepositoryModelUnload(CallbackServerContext* context,
                                            const inference::RepositoryModelUnloadRequest* request,
                                            inference::RepositoryModelUnloadResponse*) override {
    return change(context, &Repository::unload, request->model_name());
  }
  ServerUnaryReactor* TraceSetting(CallbackServerContext* context, const inference::TraceSettingRequest* request,
                                   inference::TraceSettingResponse* response) override {
    return settings(context, *request, response,
                    [&](const nlohmann::json& change) { return service_.trace_settings(request->model_name(), change); });
  }
  ServerUnaryReactor* LogSettings(CallbackServerContext* context, const inference::LogSettingsRequest* request,
                                  inference::LogSettingsResponse* response) override {
    return settings(context, *request, response, [&](const nlohmann::json& change) { return service_.log_settings(change); });
  }
  ServerUnaryReactor* SystemSharedMemoryStatus(CallbackServerContext* context,
                                               const inference::SystemSharedMemoryStatusRequest* request,
                                               inference::SystemSharedMemoryStatusResponse* response) override {
    const auto regions = service_.shared_memory().list(request->name());
    if (!regions.ok()) return finish(context, regions.fault());
    for (const RegionInfo& r : *regions) {
      auto& region = (*response->mutable_regions())[r.name];
      region.set_name(r.name);
      region.set_key(r.key);
      region.set_offset(r.offset);
      region.set_byte_size(r.byte_size);
    }
    return finish(context, {});
  }
  ServerUnaryReactor* SystemSharedMemoryRegister(CallbackServerContext* context,
                                                 const inference::SystemSharedMemoryRegisterRequest* request,
                                                 inference::SystemSharedMemoryRegisterResponse*) override {
    const Fault no = control(*context);
    return finish(context, no.ok() ? service_.shared_memory().add({request->name(), request->key(), request->offset(),
                                                                   request->byte_size()})
                                   : no);
  }
  ServerUnaryReactor* SystemSharedMemoryUnregister(CallbackServerContext* context,
                                                   const inference::SystemSharedMemoryUnregisterRequest* request,
                                                   inference::SystemSharedMemoryUnregisterResponse*) override {
    const Fault no = control(*context);
    if (no.ok()) service_.shared_memory().remove(request->name());
    return finish(context, no);
  }
  ServerUnaryReactor* ModelInfer(CallbackServerContext* context, const inference::ModelInferRequest* request,
                                 inference::ModelInferResponse* response) override {
    return new InferCall(service_, *context, *request, *response);
  }
  grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>* ModelStreamInfer(
      CallbackServerContext* context) override {
    return new StreamCall(service_, *context, streams_);
  }

  void drain_streams() {
    const std::lock_guard lock(streams_->mutex);
    streams_->draining = true;
    for (StreamCall* stream : streams_->open) stream->drain();
  }

 private:
  static ServerUnaryReactor* finish(CallbackServerContext* context, const Fault& fault) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(to_grpc(fault));
    return reactor;
  }
  // The messages have the names of the JSON's members.
  static ServerUnaryReactor* fill(CallbackServerContext* context, const Reply<OrderedJson>& json,
                                  google::protobuf::Message* message) {
    if (!json.ok()) return finish(context, json.fault());
    const std::string text = json->dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    const auto status = google::protobuf::util::JsonStringToMessage(text, message);
    return finish(context, status.ok() ? Fault() : Fault{Cause::kInternal, std::string(status.message())});
  }
  // A request without settings only asks for them; changing them is control.
  template <class Request, class Response, class F>
  ServerUnaryReactor* settings(CallbackServerContext* context, const Request& request, Response* response, F&& change) {
    if (request.settings_size() > 0)
      if (const Fault no = control(*context); !no.ok()) return finish(context, no);
    const Reply<OrderedJson> now = change(read_settings(request));
    if (now.ok()) write_settings(*now, *response);
    return finish(context, now.fault());
  }
  ServerUnaryReactor* change(CallbackServerContext* context, Fault (Repository::*what)(const std::string&),
                             const std::string& model) {
    if (const Fault no = control(*context); !no.ok()) return finish(context, no);
    ServerUnaryReactor* reactor = context->DefaultReactor();
    service_.change(what, model, [reactor](const Fault& fault) { reactor->Finish(to_grpc(fault)); });
    return reactor;
  }
  Fault control(const CallbackServerContext& context) const {
    return check_control(access_, is_loopback(context.peer()), metadata_of(context, "authorization"));
  }

  serve::Service& service_;
  const AccessOptions access_;
  const std::shared_ptr<Streams> streams_ = std::make_shared<Streams>();
};

}  // namespace

struct GrpcServer::Impl {
  Impl(Service& service, AccessOptions access) : calls(service, std::move(access)) {}
  Calls calls;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<GrpcServer>> GrpcServer::listen(Service& service, const GrpcOptions& options,
                                                       AccessOptions access) {
  // Otherwise each damaged message of a client is a line in the server's log.
  google::protobuf::SetLogHandler(nullptr);
  auto impl = std::make_unique<Impl>(service, std::move(access));
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (options.tls) {
    VTL_ASSIGN(const std::string key, read_file(options.tls->key, 1 << 20));
    VTL_ASSIGN(const std::string certificate, read_file(options.tls->certificate, 1 << 20));
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({key, certificate});
    credentials = grpc::SslServerCredentials(tls);
  }
  grpc::ServerBuilder builder;
  const bool v6 = options.address.find(':') != std::string::npos;
  builder.AddListeningPort(fmt::format("{}{}{}:{}", v6 ? "[" : "", options.address, v6 ? "]" : "", options.port),
                           credentials, &impl->port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(static_cast<int>(std::min<uint64_t>(options.max_message, INT32_MAX)));
  builder.SetMaxSendMessageSize(-1);
  grpc::ResourceQuota quota("vitrail");
  builder.SetResourceQuota(quota.Resize(options.max_total + kOwnBuffers));
  builder.RegisterService(&impl->calls);
  impl->server = builder.BuildAndStart();
  if (!impl->server || impl->port == 0)
    return io_error("cannot listen on {} port {} for gRPC", options.address, options.port);
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

GrpcServer::~GrpcServer() { drain(0); }

uint16_t GrpcServer::port() const { return static_cast<uint16_t>(impl_->port); }

void GrpcServer::drain(double seconds) {
  impl_->calls.drain_streams();
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6)));
  impl_->server->Wait();
}

}  // namespace vitrail::serve
