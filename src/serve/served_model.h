// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/session.h"
#include "serve/scheduler.h"

namespace vitrail::serve {

// An engine file, opened; whoever may name the backends makes it.
struct LoadedEngine {
  std::shared_ptr<const Engine> engine;
  std::shared_ptr<const Program> program;
  std::shared_ptr<const void> owner;  // of what the program uses
};
using EngineLoader = std::function<Result<LoadedEngine>(const std::string& path)>;

// So many batches of so many rows, before a model is ready.
struct WarmUp {
  int64_t rows = 1, count = 1;
};

struct ModelSettings {
  int instances = 1;         // batches that may run at once; they share the weights
  int threads = 0;           // of each instance; 0: the cores divided by the instances
  int64_t max_batch = 0;     // 0: the engine's largest
  int64_t workspace_bytes = 0;  // 0: the engine's
  double warm_up_seconds = 1;
  std::vector<WarmUp> warm_ups;  // beside what the seconds allow
  bool allow_uncertified = false;
  SchedulerOptions scheduler;
};

// A tensor as the protocol describes it: -1 for the batch.
struct TensorDescription {
  std::string name;
  DType dtype = DType::kUndefined;
  Shape shape;
};

// One version of a model, ready to run.
class ServedModel {
 public:
  // Opens, checks the certificate, allocates, warms up. The status of loading, or kCheckFailed for an engine without
  // a certificate.
  static Result<std::shared_ptr<ServedModel>> load(std::string name, std::string version, const std::string& path,
                                                   const EngineLoader& loader, const ModelSettings& settings);
  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }
  const std::vector<TensorDescription>& inputs() const { return inputs_; }
  const std::vector<TensorDescription>& outputs() const { return outputs_; }
  const EngineInfo& info() const { return loaded_.engine->info; }
  const Graph& graph() const { return *loaded_.engine->graph; }
  const Engine& engine() const { return *loaded_.engine; }
  std::string platform() const { return "vitrail_" + info().backend; }
  const ModelSettings& settings() const { return settings_; }
  bool on_device() const { return loaded_.program->device_info().has_value(); }
  // Of weights and all instances' activations.
  int64_t bytes() const { return engine().weight_bytes + scheduler_->session().planned_bytes(); }
  // Rows that one request may have; 0 where the model knows no batches.
  int64_t max_batch() const { return max_batch_; }
  // kUsage with the reason why pictures cannot be sent to it.
  Status takes_pictures() const;
  Status gives_scores() const;

  Scheduler& scheduler() { return *scheduler_; }
  const Scheduler& scheduler() const { return *scheduler_; }
  Statistics& statistics() { return statistics_; }
  const Statistics& statistics() const { return statistics_; }

 private:
  ServedModel() = default;

  std::string name_, version_;
  LoadedEngine loaded_;
  ModelSettings settings_;
  std::vector<TensorDescription> inputs_, outputs_;
  int64_t max_batch_ = 0;
  Statistics statistics_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace vitrail::serve
