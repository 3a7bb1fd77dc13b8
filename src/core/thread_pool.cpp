// SPDX-License-Identifier: Apache-2.0
#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

namespace vitrail {
namespace {

// Layers follow each other within microseconds, a sleeping thread takes tens of them to wake: so spin first.
constexpr std::chrono::microseconds kSpin{50};
constexpr int kPausesPerClockRead = 32;
constexpr size_t kCacheLine = 64;
// Indices and the loop's number share one 64-bit word, 32 bits each; longer loops run in pieces.
constexpr int64_t kLongestLoop = int64_t{1} << 31;
constexpr uint64_t kIndexMask = 0xffffffff;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for `done` for a short while; whether it came true.
template <class Condition>
bool spin_until(Condition done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return done();
}

}  // namespace

// `ticket` holds the number of the current loop (high half) and the next index (low half). An index is taken
// by compare-and-swap, so a thread that wakes late can neither take an index of a newer loop with an older
// body nor hold up a loop that is finished without it. Between two loops the ticket is closed (index kIndexMask of
// the coming loop) before count, body and context change: whoever saw one of the new ones fails its swap.
struct ThreadPool::Team {
  alignas(kCacheLine) std::atomic<uint64_t> ticket{kIndexMask};
  std::atomic<int64_t> count{0};
  std::atomic<Body> body{nullptr};
  std::atomic<void*> context{nullptr};
  alignas(kCacheLine) std::atomic<uint32_t> done{0};  // indices whose body has returned
  alignas(kCacheLine) std::atomic<uint32_t> loop{0};  // what idle workers sleep on
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;

  // Takes part in loop number `number` until no index is left.
  void work(uint32_t number, int thread) {
    uint32_t finished = 0;
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (seen >> 32 == number) {
      const int64_t index = static_cast<int64_t>(seen & kIndexMask);
      const int64_t end = count.load(std::memory_order_acquire);
      const Body call = body.load(std::memory_order_acquire);
      void* const with = context.load(std::memory_order_acquire);
      if (index >= end) break;
      // Success proves that the ticket was not closed meanwhile, hence that the three loads above are this loop's.
      if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      call(with, index, thread);
      ++finished;
      seen = ticket.load(std::memory_order_acquire);
    }
    if (finished == 0) return;
    // Read before the addition: afterwards the caller may already be setting up the next loop.
    const auto total = static_cast<uint32_t>(count.load(std::memory_order_relaxed));
    if (done.fetch_add(finished, std::memory_order_seq_cst) + finished == total) done.notify_one();
  }

  void serve(int thread) {
    uint32_t last = 0;
    for (;;) {
      const auto changed = [&] { return loop.load(std::memory_order_acquire) != last; };
      while (!spin_until(changed)) loop.wait(last, std::memory_order_acquire);
      // In this order: whoever reads the destructor's number, also sees the stop.
      last = loop.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      work(last, thread);
    }
  }

  void run(int64_t indices, Body call, void* with) {
    const uint32_t number = loop.load(std::memory_order_relaxed) + 1;
    done.store(0, std::memory_order_relaxed);
    ticket.store(uint64_t{number} << 32 | kIndexMask, std::memory_order_relaxed);
    count.store(indices, std::memory_order_release);
    body.store(call, std::memory_order_release);
    context.store(with, std::memory_order_release);
    ticket.store(uint64_t{number} << 32, std::memory_order_release);
    wake(number);
    work(number, 0);
    const auto total = static_cast<uint32_t>(indices);
    const auto finished = [&] { return done.load(std::memory_order_acquire) == total; };
    if (spin_until(finished)) return;
    for (uint32_t seen; (seen = done.load(std::memory_order_acquire)) != total;)
      done.wait(seen, std::memory_order_acquire);
  }

  void wake(uint32_t number) {
    // Sequentially consistent: the store must be visible before notify_all looks for sleepers.
    loop.store(number, std::memory_order_seq_cst);
    loop.notify_all();
  }
};

ThreadPool::ThreadPool(int threads) : threads_(1), team_(std::make_unique<Team>()) {
  try {
    team_->workers.reserve(static_cast<size_t>(std::max(threads - 1, 0)));
    for (; threads_ < threads; ++threads_) {
      team_->workers.emplace_back([team = team_.get(), id = threads_] { team->serve(id); });
    }
  } catch (const std::system_error&) {
    // The system gives no more threads: work with those there are.
  }
}

ThreadPool::~ThreadPool() {
  team_->stop.store(true, std::memory_order_release);
  team_->wake(team_->loop.load(std::memory_order_relaxed) + 1);
  for (std::thread& worker : team_->workers) worker.join();
}

void ThreadPool::parallel_for(int64_t count, Body body, void* context) {
  if (threads_ == 1 || count == 1) {
    for (int64_t i = 0; i < count; ++i) body(context, i, 0);
    return;
  }
  for (int64_t first = 0; first < count; first += kLongestLoop) {
    const int64_t length = std::min(count - first, kLongestLoop);
    if (first == 0) {
      team_->run(length, body, context);
      continue;
    }
    struct Shifted {
      Body body;
      void* context;
      int64_t first;
    } shifted{body, context, first};
    const auto call = [](void* c, int64_t i, int thread) {
      const auto& s = *static_cast<const Shifted*>(c);
      s.body(s.context, s.first + i, thread);
    };
    team_->run(length, call, &shifted);
  }
}

}  // namespace vitrail
