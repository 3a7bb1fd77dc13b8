// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/classes.h"
#include "serve/infer.h"
#include "serve/repository.h"
#include "serve/telemetry.h"

namespace vitrail::serve {

using OrderedJson = nlohmann::ordered_json;

struct Classified {
  std::string model, version;
  std::vector<Classification> top;
};

struct ServiceOptions {
  int decode_threads = 1;
  int64_t max_image_pixels = 64'000'000;  // a picture that claims more is refused before it is decoded
};

// What the server does, apart from how requests travel. All members may be called from several threads at once.
class Service {
 public:
  // `telemetry` outlives this and everything that its records were given to.
  Service(Repository& repository, Telemetry& telemetry, const ServiceOptions& options);
  ~Service();

  // Gives up a request that still waits. May be called at any time, also after the answer.
  using Cancel = std::function<void()>;

  // `done` is called exactly once, on any thread, perhaps before infer() returns; it must neither block nor call back.
  Cancel infer(InferRequest request, std::function<void(Reply<InferResponse>)> done);
  // Of one encoded picture, which is copied, the `top` most probable classes.
  Cancel classify(InferRequest request, std::string_view picture, int top,
                  std::function<void(Reply<Classified>)> done);

  // Repository::load or unload, which take their time, on a thread of their own; `done` as above.
  void change(Fault (Repository::*what)(const std::string&), std::string model, std::function<void(const Fault&)> done);

  void poll(std::function<void()> done);  // Repository::poll on that thread

  // Runs `work` on the threads that decode pictures; false, and not run, when too much waits for them already.
  bool offload(std::function<void()> work);

  bool ready() const { return !draining_; }
  void drain() { draining_ = true; }  // not ready any more; what comes all the same is still answered
  Repository& repository() { return repository_; }
  SharedMemory& shared_memory() { return shared_memory_; }
  Telemetry& telemetry() { return telemetry_; }

  OrderedJson server_metadata() const;
  Reply<OrderedJson> model_metadata(const std::string& model, const std::string& version) const;
  Reply<OrderedJson> model_config(const std::string& model, const std::string& version) const;
  // Of all models when `model` is empty.
  Reply<OrderedJson> statistics(const std::string& model, const std::string& version) const;
  OrderedJson index(bool only_ready) const;
  OrderedJson overview() const;  // what the page at / shows
  // Of a model that is ready, or of the server when `model` is empty; the settings after those of `change` were taken
  // over.
  Reply<OrderedJson> trace_settings(const std::string& model, const nlohmann::json& change);
  Reply<OrderedJson> log_settings(const nlohmann::json& change);

 private:
  struct Call;
  void attempt(std::shared_ptr<Call> call);
  void submit(std::shared_ptr<Call> call, std::shared_ptr<PreparedJob> prepared);
  Cancel start(std::shared_ptr<Call> call);

  Repository& repository_;
  Telemetry& telemetry_;
  const ServiceOptions options_;
  SharedMemory shared_memory_;
  std::atomic<bool> draining_{false};
  std::atomic<int> decoding_{0};
  boost::asio::thread_pool decoders_, changes_{1};
};

}  // namespace vitrail::serve
