// SPDX-License-Identifier: Apache-2.0
// Models of the program that sums (tests/runtime/fake.h), without its bias where rows are to stack.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>

#include "runtime/fake.h"
#include "serve/scheduler.h"

namespace vitrail::serve::test {

using vitrail::test::kColumns;

// A door that a running batch waits at until the test opens it.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    --waiting_;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void await(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

// Output `y` [N] is the sum of each row of `x` [N,3].
struct SumProgram : Program {
  std::function<void(int64_t batch)> during_run;
  Status result;
  mutable std::mutex mutex;
  mutable std::vector<int64_t> batches;
  mutable std::atomic<const void*> read{nullptr};  // where the last batch lay

  struct SumContext : Context {
    explicit SumContext(const SumProgram& p) : program(p) {}
    const SumProgram& program;
    Status run(int64_t batch, std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
               Observer*) override {
      {
        const std::lock_guard lock(program.mutex);
        program.batches.push_back(batch);
      }
      program.read = inputs[0].data;
      if (program.during_run) program.during_run(batch);
      for (int64_t n = 0; n < batch; ++n) {
        float sum = 0;
        for (int64_t c = 0; c < kColumns; ++c) sum += inputs[0].as<float>()[static_cast<size_t>(n * kColumns + c)];
        outputs[0].as<float>()[static_cast<size_t>(n)] = sum;
      }
      return program.result;
    }
  };
  Result<MemoryPlan> plan(int64_t, int) const override { return MemoryPlan(); }
  Result<std::unique_ptr<Context>> create_context(const ContextOptions&) const override {
    return std::unique_ptr<Context>(new SumContext(*this));
  }
  std::vector<int64_t> ran() const {
    const std::lock_guard lock(mutex);
    return batches;
  }
};

inline std::shared_ptr<Engine> sum_engine(std::vector<Profile> profiles = {{1, 4, 8}}) {
  auto graph = std::make_shared<Graph>();
  graph->inputs = {graph->add_value({"x", DType::kF32, SymShape{Dim::batch(), Dim::of(kColumns)}, {}, {}})};
  graph->outputs = {graph->add_value({"y", DType::kF32, SymShape{Dim::batch()}, {}, {}})};
  auto engine = std::make_shared<Engine>();
  engine->graph = graph;
  engine->info.profiles = std::move(profiles);
  engine->info.backend = "fake";
  return engine;
}

struct Answer {
  JobResult result;
  std::vector<float> sums;
};

// A job of `rows` rows whose sums are value, value + 1, …; its answer in the future.
inline std::pair<Job, std::future<Answer>> sum_job(float value, int64_t rows = 1) {
  auto data = std::make_shared<std::vector<float>>();
  for (int64_t r = 0; r < rows; ++r)
    for (float part : {value + static_cast<float>(r), 0.5f, -0.5f}) data->push_back(part);
  auto promise = std::make_shared<std::promise<Answer>>();
  Job job;
  job.inputs = {std::as_bytes(std::span(*data))};
  job.owner = data;
  job.rows = rows;
  job.done = [promise](JobResult result) {
    Answer answer{std::move(result), {}};
    if (answer.result.fault.ok())
      for (float v : answer.result.outputs[0].as<float>()) answer.sums.push_back(v);
    promise->set_value(std::move(answer));
  };
  return {std::move(job), promise->get_future()};
}

}  // namespace vitrail::serve::test
