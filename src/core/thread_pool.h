// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

namespace vitrail {

// A fixed team of threads that runs one loop at a time. The caller is a member of the team, so ThreadPool(1) starts
// no thread and ThreadPool(n) starts n-1. parallel_for never allocates.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(context, index, thread) for every index in [0, count), indices handed out one by one in order; returns
  // when all are done. `thread` is in [0, threads()). Must not be called from inside a body, nor from two threads at
  // once.
  using Body = void (*)(void* context, int64_t index, int thread);
  void parallel_for(int64_t count, Body body, void* context);

  // As above for any callable f(int64_t index, int thread); no std::function, so nothing is allocated.
  template <class F>
  void parallel_for(int64_t count, F&& f) {
    using Fn = std::remove_reference_t<F>;
    parallel_for(
        count, [](void* c, int64_t i, int t) { (*static_cast<Fn*>(c))(i, t); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  struct Team;
  int threads_;
  std::unique_ptr<Team> team_;
};

// Cores that this process may use (affinity mask and cgroup), at least 1.
int available_cores();

}  // namespace vitrail
