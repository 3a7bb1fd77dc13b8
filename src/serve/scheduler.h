// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/thread_pool.h"
#include "runtime/session.h"
#include "serve/batcher.h"
#include "serve/fault.h"
#include "serve/queue_policy.h"
#include "serve/statistics.h"

namespace vitrail::serve {

struct JobResult {
  Fault fault;
  std::vector<Tensor> outputs;  // in the graph's order, this request's rows; they share the batch's memory
  int64_t queued_ns = 0;
  int64_t total_ns = 0;  // from submit() to the answer
  int64_t batch_rows = 0;
  int64_t arrival_ns = 0;  // of submit()
  BatchTimes times;        // of the batch that it was in
};

// One request: its rows of every input, in the graph's order.
struct Job {
  std::vector<std::span<const std::byte>> inputs;  // of the graph's types, any alignment; `owner` keeps them
  std::shared_ptr<const void> owner;
  int64_t rows = 1;
  int priority = 0;        // 1 is the highest; 0: the model's default
  int64_t timeout_ns = 0;  // it is rejected when it waited so long; 0: the model's default
  uint64_t announced = 0;  // by Scheduler::announce(); 0: not
  bool run_here = false;   // where nobody waits and a stream is free, submit() may run it: no thread has to wake
  // Called exactly once, on a worker's thread or on that of submit() or cancel(). Must neither block nor call back.
  std::function<void(JobResult)> done;
};

struct SchedulerOptions {
  int priority_levels = 0;         // 0: none; else priorities are 1 … levels
  int default_priority = 0;        // 0: the middle one
  QueuePolicies queue;
  bool allow_non_finite = false;   // inputs may hold NaN and infinity
  bool preserve_ordering = false;  // answers come in the order of arrival
  int copy_threads = 0;            // gather a large batch; 0: what suits the model and the machine
  int64_t slo_ns = 0;              // answers are to come within this time; 0: no such goal
  Policy policy;
  Clock clock = steady_nanoseconds;
};

// Queues requests and runs them in batches on the streams of a session, each stream by a worker thread of its own.
// All members may be called from several threads at once.
class Scheduler {
 public:
  using Ticket = uint64_t;

  // `session` must not check for NaN (each request is checked alone); `statistics` must outlive this.
  Scheduler(std::shared_ptr<const Program> program, std::unique_ptr<Session> session, SchedulerOptions options,
            Statistics& statistics);
  ~Scheduler();  // stops

  // Looks for NaN and infinity in a request and queues it, or runs it (Job::run_here); its outcome, a rejection as well, goes to job.done. Nothing,
  // and the job stays as it was, once stop() has begun: another version of the model may take it.
  std::optional<Ticket> submit(Job& job);
  // Before work is put into a request (its picture is decoded): kBusy as submit() would say, else what counts it among
  // those that wait, for Job::announced, until it is submitted or retracted.
  Reply<Ticket> announce(const Job& job);
  void retract(Ticket announced);  // also when it has been submitted
  // Gives up a request that still waits; one that runs is answered as usual.
  void cancel(Ticket ticket);
  // Takes no new requests, answers all that wait and ends the threads. Not from within job.done.
  void stop();

  // Runs zeros at growing batch sizes, each twice, for at most about `seconds`: memory is touched, costs are learned.
  Status warm_up(double seconds);
  Status warm_up(int64_t rows, int64_t count);

  size_t waiting() const;
  const Session& session() const { return *session_; }
  Policy policy() const;

 private:
  struct Entry;
  struct Staging;
  using Entries = std::vector<std::unique_ptr<Entry>>;

  void work();
  void run_next(size_t count, std::unique_lock<std::mutex>& lock);
  bool runs_at_once(const Job& job);
  void expire();
  void expire_due(std::unique_lock<std::mutex>& lock);
  void insert(std::unique_ptr<Entry> entry, int64_t deadline_ns, bool delays, bool delayed);
  std::unique_ptr<Entry> take(size_t index);
  void run(Entries batch, Staging& staging);
  bool runs_in_place(const Job& job, const Staging& staging) const;
  Status run_rows(int64_t rows, Staging& staging, std::vector<Tensor>& outputs, const Job* alone = nullptr);
  int64_t gather(const Entries& batch, Staging& staging);
  void finish(std::unique_ptr<Entry> entry, JobResult result);
  void release(std::unique_ptr<Entry> entry, JobResult result);
  Fault check_values(const Job& job) const;
  int priority_of(const Job& job) const;
  Fault admit(int priority, int64_t rows) const;
  size_t ahead_of(int priority) const;
  int64_t running_ns() const;
  int64_t runnable_rows(int64_t rows) const;

  const std::shared_ptr<const Program> program_;
  const std::unique_ptr<Session> session_;
  const SchedulerOptions options_;
  Statistics& statistics_;
  const bool stacks_;  // whether rows of several requests may run as one batch
  std::vector<std::unique_ptr<Staging>> stagings_;  // as many as the session has streams
  std::unique_ptr<ThreadPool> copiers_;
  std::mutex copying_;  // held by the worker whose batch they copy

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_, deadline_, idle_;
  std::vector<Staging*> free_;  // of stagings_
  Policy policy_;
  std::vector<Waiting> waiting_;  // in the order in which they shall run; entries_ beside it
  Entries entries_;
  std::map<Ticket, std::pair<int, int64_t>> announced_;  // priority and rows
  int64_t last_arrival_ns_ = 0;
  int64_t batches_ = 0;
  Ticket next_ticket_ = 1, last_announced_ = 0;
  bool stopping_ = false;  // no new requests
  bool ended_ = false;     // no worker is left

  std::mutex order_mutex_;  // guards answers that must wait for earlier ones
  Ticket next_answer_ = 1;
  std::map<Ticket, std::pair<std::unique_ptr<Entry>, JobResult>> held_;

  std::vector<std::thread> workers_;
  std::thread timer_;
};

}  // namespace vitrail::serve
