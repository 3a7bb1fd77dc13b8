// SPDX-License-Identifier: Apache-2.0
// A program that sums: output `sum` is the sum over each row of `x` plus `bias`, `doubled` is twice `x`.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include "core/error.h"
#include "runtime/session.h"

namespace vitrail::test {

constexpr int64_t kColumns = 3;

inline std::shared_ptr<Engine> fake_engine(std::vector<Profile> profiles = {{1, 4, 8}, {16, 16, 16}}) {
  auto graph = std::make_shared<Graph>();
  const SymShape rows{Dim::batch(), Dim::of(kColumns)};
  graph->inputs = {graph->add_value({"x", DType::kF32, rows, {}, {}}),
                   graph->add_value({"bias", DType::kF32, SymShape{Dim::of(1)}, {}, {}})};
  graph->outputs = {graph->add_value({"sum", DType::kF32, SymShape{Dim::batch()}, {}, {}}),
                    graph->add_value({"doubled", DType::kF32, rows, {}, {}})};
  auto engine = std::make_shared<Engine>();
  engine->graph = graph;
  engine->info.profiles = std::move(profiles);
  return engine;
}

struct FakeProgram : Program {
  std::function<void()> during_run;  // called while a context is in use
  bool on_device = false;            // device times: bias, first sum, batch
  Status result;                     // what run() answers
  mutable std::atomic<int> running{0}, most_running{0}, contexts{0};
  mutable std::mutex mutex;
  mutable std::vector<ContextOptions> options;  // of the contexts made

  struct FakeContext : Context {
    explicit FakeContext(const FakeProgram& p) : program(p) {}
    const FakeProgram& program;
    std::atomic<bool> busy{false};
    DeviceTimes times;
    std::optional<DeviceTimes> device_times() const override {
      return program.on_device ? std::optional(times) : std::nullopt;
    }
    int64_t device_bytes() const override { return program.on_device ? 10 : 0; }

    Status run(int64_t batch, std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
               Observer* observer) override {
      if (busy.exchange(true)) return internal_error("two callers in one context");
      const int now = ++program.running;
      int most = program.most_running;
      while (now > most && !program.most_running.compare_exchange_weak(most, now)) {
      }
      const float bias = inputs[1].as<float>()[0];
      for (int64_t n = 0; n < batch; ++n) {
        float& sum = outputs[0].as<float>()[static_cast<size_t>(n)];
        sum = bias;
        for (int64_t c = 0; c < kColumns; ++c) {
          const auto i = static_cast<size_t>(n * kColumns + c);
          sum += inputs[0].as<float>()[i];
          outputs[1].as<float>()[i] = 2 * inputs[0].as<float>()[i];
        }
      }
      times = {bias, outputs[0].as<float>()[0], static_cast<double>(batch)};
      if (observer) observer->on_value(2, outputs[0]);
      if (program.during_run) program.during_run();
      --program.running;
      busy = false;
      return program.result;
    }
  };

  int64_t device_bytes() const override { return on_device ? 1000 : 0; }
  Result<MemoryPlan> plan(int64_t batch, int threads) const override {
    MemoryPlan plan;
    plan.arena_bytes = 1000 * batch;
    plan.scratch_bytes = 10 * threads;
    return plan;
  }
  Result<std::unique_ptr<Context>> create_context(const ContextOptions& o) const override {
    options.push_back(o);
    ++contexts;
    return std::unique_ptr<Context>(new FakeContext(*this));
  }
};

}  // namespace vitrail::test
