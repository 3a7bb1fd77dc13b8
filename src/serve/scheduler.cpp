// SPDX-License-Identifier: Apache-2.0
#include "serve/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/error.h"
#include "runtime/finite.h"

namespace vitrail::serve {

struct Scheduler::Entry {
  Job job;
  Ticket ticket = 0;
  int priority = 0;
  int64_t arrival_ns = 0;
  int64_t started_ns = 0;
  int64_t timeout_ns = 0;
};

// Where a worker gathers the rows of a batch: memory from which a device copies fast, where there is such.
struct Scheduler::Staging {
  std::vector<std::shared_ptr<void>> memory;
  std::vector<std::byte*> data;
  std::vector<size_t> row_bytes;
  std::vector<NamedView> inputs;
  std::vector<NamedMutableView> outputs;
  bool for_device = false;  // it is memory that a device reads faster than any other
  int64_t expected_end_ns = 0;  // of the batch that runs; under the scheduler's lock

  Staging(const Session& session, const Program& program) {
    const Graph& graph = *session.engine().graph;
    for (ValueId id : graph.inputs) {
      const Value& value = graph.value(id);
      const Shape shape = at_batch(*value.shape, session.options().max_batch);
      const size_t bytes = static_cast<size_t>(element_count(shape)) * dtype_size(value.dtype);
      std::shared_ptr<void> block = program.allocate_host(bytes);
      if (block) {
        for_device = true;
      } else {
        auto tensor = std::make_shared<Tensor>(value.dtype, shape);
        block = std::shared_ptr<void>(tensor, tensor->mutable_data());
      }
      std::memset(block.get(), 0, bytes);
      data.push_back(static_cast<std::byte*>(block.get()));
      memory.push_back(std::move(block));
      row_bytes.push_back(static_cast<size_t>(element_count(at_batch(*value.shape, 1))) * dtype_size(value.dtype));
      inputs.push_back({value.name, {value.dtype, shape, data.back()}});
    }
  }
};

namespace {

// Whether rows of several requests may run as one batch: every input and output is N of the same thing.
bool rows_stack(const Graph& graph) {
  for (const auto* ids : {&graph.inputs, &graph.outputs})
    for (ValueId id : *ids) {
      const SymShape& shape = *graph.value(id).shape;
      if (shape.empty() || shape[0] != Dim::batch()) return false;
      if (!is_fixed(SymShape(shape.begin() + 1, shape.end()))) return false;
    }
  return true;
}

// Rows [first, first + rows) of a batch's output, sharing its memory.
Tensor slice(const Tensor& all, int64_t first, int64_t rows) {
  Shape shape = all.shape();
  const size_t row = all.bytes() / static_cast<size_t>(shape[0]);
  shape[0] = rows;
  const auto owner = std::make_shared<Tensor>(all);
  return Tensor(all.dtype(), shape, static_cast<const std::byte*>(all.data()) + static_cast<size_t>(first) * row,
                owner);
}

constexpr double kAdmitted = 0.8;       // of the latency goal
constexpr int64_t kExplore = 64;        // one batch of so many may be larger than costs advise
constexpr double kArrivalMemory = 0.2;  // weight of the last interval in the usual one
constexpr int64_t kMostHere = 50'000'000;  // longest batch that the thread of a connection runs itself
constexpr size_t kPieceBytes = 1 << 20;    // that one thread copies at once
constexpr size_t kParallelCopy = 4 << 20;  // bytes of a batch; below, waking threads takes longer than it gains

// A thread copies some 10 GB/s, memory bears a few of them.
int copy_threads(int wanted, size_t most_bytes) {
  if (wanted > 0) return wanted;
  return most_bytes < 2 * kParallelCopy ? 1 : std::clamp(available_cores() / 4, 1, 4);
}

}  // namespace

Scheduler::Scheduler(std::shared_ptr<const Program> program, std::unique_ptr<Session> session,
                     SchedulerOptions options, Statistics& statistics)
    : program_(std::move(program)),
      session_(std::move(session)),
      options_(std::move(options)),
      statistics_(statistics),
      stacks_(rows_stack(*session_->engine().graph)),
      policy_(options_.policy) {
  policy_.max_batch = std::clamp<int64_t>(policy_.max_batch, 1, session_->options().max_batch);
  policy_.merge = policy_.merge && stacks_;
  for (int i = 0; i < session_->options().streams; ++i)
    stagings_.push_back(std::make_unique<Staging>(*session_, *program_));
  size_t row_bytes = 0;
  for (size_t bytes : stagings_[0]->row_bytes) row_bytes += bytes;
  copiers_ = std::make_unique<ThreadPool>(
      copy_threads(options_.copy_threads, row_bytes * static_cast<size_t>(policy_.max_batch)));
  for (auto& staging : stagings_) free_.push_back(staging.get());
  for (size_t i = 0; i < stagings_.size(); ++i) workers_.emplace_back([this] { work(); });
  timer_ = std::thread([this] { expire(); });
}

Scheduler::~Scheduler() { stop(); }

void Scheduler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_)
    if (worker.joinable()) worker.join();
  {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [&] { return free_.size() == stagings_.size(); });  // what submit() runs
    ended_ = true;
  }
  deadline_.notify_all();
  if (timer_.joinable()) timer_.join();
}

size_t Scheduler::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

Policy Scheduler::policy() const {
  const std::lock_guard lock(mutex_);
  return policy_;
}

// How long the batches that run will go on, summed up. Under the lock.
int64_t Scheduler::running_ns() const {
  int64_t sum = 0;
  for (const auto& staging : stagings_) sum += std::max<int64_t>(0, staging->expected_end_ns - options_.clock());
  return sum;
}

int Scheduler::priority_of(const Job& job) const {
  const int levels = options_.priority_levels;
  const int usual = options_.default_priority > 0 ? options_.default_priority : (levels + 1) / 2;
  return levels == 0 ? 0 : job.priority > 0 ? std::min(job.priority, levels) : usual;
}

Reply<Scheduler::Ticket> Scheduler::announce(const Job& job) {
  const std::lock_guard lock(mutex_);
  const int priority = priority_of(job);
  if (Fault refused = admit(priority, job.rows); !refused.ok()) return refused;
  const Ticket ticket = ++last_announced_;
  announced_.emplace(ticket, std::pair(priority, job.rows));
  return ticket;
}

void Scheduler::retract(Ticket announced) {
  const std::lock_guard lock(mutex_);
  announced_.erase(announced);
}

// Requests of this priority that wait or are announced; those that free streams take at once do not wait. Under the lock.
size_t Scheduler::ahead_of(int priority) const {
  const auto announced = std::ranges::count(announced_, priority, [](const auto& a) { return a.second.first; });
  return waiting_at(waiting_, priority) + static_cast<size_t>(std::max<int64_t>(0, announced - std::ssize(free_)));
}

// Whether a request may join the queue. Under the lock.
Fault Scheduler::admit(int priority, int64_t rows) const {
  const size_t most = options_.queue.of(priority).max_queue;
  if (waiting_.size() + announced_.size() >= most)  // else it need not be counted
    if (const size_t ahead = ahead_of(priority); ahead >= most)
      return fault(Cause::kBusy, "the queue is full: {} requests{} are waiting; try again later", ahead,
                   priority > 0 ? fmt::format(" of priority {}", priority) : "");
  if (options_.slo_ns > 0) {
    int64_t before = 0;
    for (const Waiting& w : waiting_) before += w.rows;
    for (const auto& [ticket, a] : announced_) before += a.second;
    const double ns = expected_latency_ns(running_ns(), before, rows, session_->options().streams, policy_);
    // Times vary: what is let in at the very edge would wait in vain.
    if (before > 0 && ns > kAdmitted * static_cast<double>(options_.slo_ns))
      return fault(Cause::kBusy, "the answer would take {:.1f} ms, and the goal is {:.1f} ms; try again later",
                   ns * 1e-6, static_cast<double>(options_.slo_ns) * 1e-6);
  }
  return {};
}

// NaN and infinity would spoil what a model says of them alone, and some device's check of a whole batch with them.
Fault Scheduler::check_values(const Job& job) const {
  if (options_.allow_non_finite) return {};
  const Graph& graph = *session_->engine().graph;
  for (size_t i = 0; i < job.inputs.size(); ++i) {
    const Value& value = graph.value(graph.inputs[i]);
    const auto count = static_cast<int64_t>(job.inputs[i].size() / dtype_size(value.dtype));
    if (const NonFinite found = find_non_finite({value.dtype, {count}, job.inputs[i].data()}); found.count > 0)
      return fault(Cause::kInvalid, "input '{}': {} of {} elements are NaN or infinite, the first is number {}",
                   value.name, found.count, count, found.first);
  }
  return {};
}

std::optional<Scheduler::Ticket> Scheduler::submit(Job& job) {
  auto entry = std::make_unique<Entry>();
  Fault refused = check_values(job);  // here: there are more threads that submit than workers
  std::unique_lock lock(mutex_);
  if (stopping_) return std::nullopt;
  entry->job = std::move(job);
  entry->arrival_ns = options_.clock();
  entry->priority = priority_of(entry->job);
  const QueuePolicy& queue = options_.queue.of(entry->priority);
  entry->timeout_ns = timeout_ns(queue, entry->job.timeout_ns);

  const Ticket ticket = entry->ticket = next_ticket_++;
  announced_.erase(entry->job.announced);
  if (refused.ok()) refused = admit(entry->priority, entry->job.rows);
  if (!refused.ok()) {
    lock.unlock();
    JobResult result;
    result.fault = std::move(refused);
    finish(std::move(entry), std::move(result));
    return ticket;
  }
  if (last_arrival_ns_ > 0) {
    const auto interval = static_cast<double>(entry->arrival_ns - last_arrival_ns_);
    const auto usual_ns = static_cast<double>(policy_.interval_ns);
    policy_.interval_ns = static_cast<int64_t>(
        policy_.interval_ns == 0 ? interval : usual_ns + (interval - usual_ns) * kArrivalMemory);
  }
  last_arrival_ns_ = entry->arrival_ns;
  const int64_t deadline = entry->timeout_ns > 0 ? entry->arrival_ns + entry->timeout_ns : kNever;
  const bool here = entry->job.run_here;
  insert(std::move(entry), deadline, queue.delays, false);
  if (here && runs_at_once(entries_.front()->job)) {
    run_next(1, lock);
    // Under the lock: once stop() has seen that all are free, this may be gone.
    if (!entries_.empty()) changed_.notify_one();
    idle_.notify_all();
    return ticket;
  }
  lock.unlock();
  changed_.notify_one();
  if (deadline != kNever) deadline_.notify_one();
  return ticket;
}

void Scheduler::cancel(Ticket ticket) {
  std::unique_lock lock(mutex_);
  const auto it = std::ranges::find_if(entries_, [&](const auto& e) { return e->ticket == ticket; });
  if (it == entries_.end()) return;
  std::unique_ptr<Entry> entry = take(static_cast<size_t>(it - entries_.begin()));
  lock.unlock();
  JobResult result;
  result.fault = {Cause::kCancelled, "the client gave up"};
  finish(std::move(entry), std::move(result));
}

// Under the lock.
void Scheduler::insert(std::unique_ptr<Entry> entry, int64_t deadline_ns, bool delays, bool delayed) {
  const auto at = static_cast<std::ptrdiff_t>(place_of(waiting_, entry->priority, delayed));
  waiting_.insert(waiting_.begin() + at,
                  {entry->arrival_ns, deadline_ns, entry->job.rows, entry->priority, delays, delayed});
  entries_.insert(entries_.begin() + at, std::move(entry));
}

// Under the lock.
std::unique_ptr<Scheduler::Entry> Scheduler::take(size_t index) {
  std::unique_ptr<Entry> entry = std::move(entries_[index]);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(index));
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
  return entry;
}

void Scheduler::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopping_) {
      if (entries_.empty()) return;
      policy_.max_delay_ns = 0;  // nobody is to come
    }
    expire_due(lock);
    if (!entries_.empty() && free_.empty()) {  // a stream is lent to submit()
      changed_.wait(lock);
      continue;
    }
    policy_.explore = batches_ % kExplore == kExplore - 1;
    const Decision decision = decide(waiting_, options_.clock(), policy_);
    if (decision.kind == Decision::Kind::kRun) {
      run_next(decision.count, lock);
    } else if (decision.kind == Decision::Kind::kWait && decision.wait_ns == kNever) {
      if (!stopping_) changed_.wait(lock);
    } else if (decision.kind == Decision::Kind::kWait) {
      changed_.wait_for(lock, std::chrono::nanoseconds(decision.wait_ns));
    }
  }
}

// Runs the first `count` requests. Takes the lock, and lets it go meanwhile; a stream is free.
void Scheduler::run_next(size_t count, std::unique_lock<std::mutex>& lock) {
  Staging& staging = *free_.back();
  free_.pop_back();
  Entries batch;
  for (size_t i = 0; i < count; ++i) batch.push_back(take(0));
  ++batches_;
  int64_t rows = 0;
  for (const auto& entry : batch) rows += entry->job.rows;
  staging.expected_end_ns = options_.clock() + static_cast<int64_t>(policy_.cost.at(rows));
  const bool more = !entries_.empty();
  lock.unlock();
  if (more) changed_.notify_one();
  run(std::move(batch), staging);
  lock.lock();
  staging.expected_end_ns = 0;
  free_.push_back(&staging);
}

// Whether submit() runs a request that has just joined the queue. Under the lock.
bool Scheduler::runs_at_once(const Job& job) {
  if (!job.run_here || entries_.size() != 1 || free_.empty() || policy_.cost.empty()) return false;
  if (policy_.cost.at(job.rows) > static_cast<double>(kMostHere)) return false;
  return decide(waiting_, options_.clock(), policy_).kind == Decision::Kind::kRun;
}

// Rejects, or delays, every request whose time is over. Takes the lock, and lets it go while the answer is given.
void Scheduler::expire_due(std::unique_lock<std::mutex>& lock) {
  for (;;) {
    const Decision due = first_due(waiting_, options_.clock());
    if (due.kind == Decision::Kind::kWait) return;
    std::unique_ptr<Entry> entry = take(due.index);
    if (due.kind == Decision::Kind::kDelay) {
      insert(std::move(entry), kNever, true, true);
      continue;
    }
    lock.unlock();
    JobResult result;
    result.fault = fault(Cause::kExpired, "the request waited for {:.3f} ms, its timeout",
                         static_cast<double>(entry->timeout_ns) * 1e-6);
    finish(std::move(entry), std::move(result));
    lock.lock();
  }
}

// The timer's thread: deadlines are kept even while every worker is busy.
void Scheduler::expire() {
  std::unique_lock lock(mutex_);
  for (;;) {
    expire_due(lock);
    const int64_t next = next_deadline(waiting_);
    if (ended_) return;
    if (next == kNever)
      deadline_.wait(lock);
    else
      deadline_.wait_for(lock, std::chrono::nanoseconds(std::max<int64_t>(next - options_.clock(), 0)));
  }
}

// Copies the rows of each request behind those before it; what is large is copied by several threads, as memory is
// faster than one of them.
int64_t Scheduler::gather(const Entries& batch, Staging& staging) {
  struct Piece {
    std::byte* to;
    std::span<const std::byte> from;
  };
  std::vector<Piece> pieces;
  size_t bytes = 0;
  int64_t rows = 0;
  for (const auto& entry : batch) {
    for (size_t i = 0; i < staging.data.size(); ++i) {
      std::byte* to = staging.data[i] + static_cast<size_t>(rows) * staging.row_bytes[i];
      for (auto rest = entry->job.inputs[i]; !rest.empty();) {
        const auto part = rest.first(std::min(rest.size(), kPieceBytes));
        pieces.push_back({to, part});
        to += part.size();
        bytes += part.size();
        rest = rest.subspan(part.size());
      }
    }
    rows += entry->job.rows;
  }
  const auto copy = [&](int64_t index, int) {
    const Piece& piece = pieces[static_cast<size_t>(index)];
    std::memcpy(piece.to, piece.from.data(), piece.from.size());
  };
  const auto count = static_cast<int64_t>(pieces.size());
  // Another instance's worker may have the team: then two copy already.
  std::unique_lock team(copying_, std::defer_lock);
  if (bytes >= kParallelCopy && team.try_lock())
    copiers_->parallel_for(count, copy);
  else
    for (int64_t i = 0; i < count; ++i) copy(i, 0);
  return rows;
}

// The least batch size of the engine's profiles that holds so many rows.
int64_t Scheduler::runnable_rows(int64_t rows) const {
  int64_t least = session_->options().max_batch;
  for (const Profile& p : session_->engine().info.profiles)
    if (rows <= p.max) least = std::min(least, std::max(rows, p.min));
  return std::max(least, rows);
}

// Whether a request that is a batch of its own can be computed from where it lies.
bool Scheduler::runs_in_place(const Job& job, const Staging& staging) const {
  if (staging.for_device || runnable_rows(job.rows) != job.rows) return false;
  const Graph& graph = *session_->engine().graph;
  for (size_t i = 0; i < job.inputs.size(); ++i)
    if (reinterpret_cast<uintptr_t>(job.inputs[i].data()) % dtype_size(graph.value(graph.inputs[i]).dtype) != 0) return false;
  return true;
}

// Of what was gathered, or of `alone` where it lies.
Status Scheduler::run_rows(int64_t rows, Staging& staging, std::vector<Tensor>& outputs, const Job* alone) {
  const Graph& graph = *session_->engine().graph;
  const int64_t padded = runnable_rows(rows);
  for (size_t i = 0; i < staging.inputs.size(); ++i) {
    TensorView& input = staging.inputs[i].tensor;
    input.shape = at_batch(*graph.value(graph.inputs[i]).shape, padded);
    input.data = alone ? alone->inputs[i].data() : staging.data[i];
    if (padded > rows)
      std::memset(staging.data[i] + static_cast<size_t>(rows) * staging.row_bytes[i], 0,
                  static_cast<size_t>(padded - rows) * staging.row_bytes[i]);
  }
  staging.outputs.clear();
  for (ValueId id : graph.outputs) {
    outputs.emplace_back(graph.value(id).dtype, at_batch(*graph.value(id).shape, padded));
    staging.outputs.push_back({graph.value(id).name, outputs.back().mutable_view()});
  }
  return session_->run(staging.inputs, staging.outputs);
}

void Scheduler::run(Entries batch, Staging& staging) {
  const int64_t started = options_.clock();
  int64_t rows = 0;
  for (auto& entry : batch) entry->started_ns = started;
  BatchTimes times;
  std::vector<Tensor> outputs;
  Status status;
  try {
    const Job* alone = batch.size() == 1 && runs_in_place(batch[0]->job, staging) ? &batch[0]->job : nullptr;
    rows = alone ? alone->rows : gather(batch, staging);
    const int64_t gathered = options_.clock();
    times.input_ns = gathered - started;
    status = run_rows(rows, staging, outputs, alone);
    times.infer_ns = options_.clock() - gathered;
  } catch (const std::exception& error) {  // no memory
    status = Status(Code::kInternal, error.what());
  }
  if (status.ok()) {
    const std::lock_guard lock(mutex_);
    policy_.cost.learn(rows, times.infer_ns);
  }
  if (status.ok()) statistics_.ran(rows, times);
  int64_t first = 0;
  for (auto& entry : batch) {
    JobResult result;
    result.fault = fault_of(status);
    result.queued_ns = started - entry->arrival_ns;
    result.batch_rows = rows;
    result.times = times;
    const int64_t mine = entry->job.rows;
    if (status.ok()) {
      for (const Tensor& all : outputs)
        result.outputs.push_back(stacks_ && all.dim(0) != mine ? slice(all, first, mine) : all);
      statistics_.succeeded(options_.clock() - entry->arrival_ns, result.queued_ns, times);
    }
    first += mine;
    finish(std::move(entry), std::move(result));
  }
}

void Scheduler::finish(std::unique_ptr<Entry> entry, JobResult result) {
  result.arrival_ns = entry->arrival_ns;
  result.total_ns = options_.clock() - entry->arrival_ns;
  if (!result.fault.ok()) statistics_.failed(result.total_ns, result.fault.cause);
  if (!options_.preserve_ordering) return release(std::move(entry), std::move(result));
  const std::lock_guard lock(order_mutex_);
  const Ticket ticket = entry->ticket;
  held_.emplace(ticket, std::pair(std::move(entry), std::move(result)));
  while (!held_.empty() && held_.begin()->first == next_answer_) {
    auto first = held_.extract(held_.begin());
    ++next_answer_;
    release(std::move(first.mapped().first), std::move(first.mapped().second));
  }
}

void Scheduler::release(std::unique_ptr<Entry> entry, JobResult result) {
  const auto done = std::move(entry->job.done);
  entry.reset();  // lets the input's memory go before the answer is written
  done(std::move(result));
}

Status Scheduler::warm_up(double seconds) {
  const int64_t start = options_.clock();
  const auto over = [&](int64_t next_ns) {
    return static_cast<double>(options_.clock() - start + next_ns) > seconds * 1e9;
  };
  int64_t last = 0;
  for (int64_t rows = 1;; rows = std::min(rows * 2, policy_.max_batch)) {
    if (rows > 1 && over(2 * last)) break;
    for (int pass = 0; pass < 2; ++pass) {
      // Two runs at the most touch what is not touched yet; the second one is the cost.
      std::vector<Tensor> outputs;
      const int64_t begin = options_.clock();
      VTL_TRY(run_rows(rows, *stagings_[0], outputs));
      last = options_.clock() - begin;
    }
    const std::lock_guard lock(mutex_);
    policy_.cost.learn(rows, last);
    if (rows == policy_.max_batch) break;
  }
  if (options_.slo_ns > 0) {
    const std::lock_guard lock(mutex_);
    policy_ = policy_for_slo(options_.slo_ns, policy_);
  }
  return {};
}

Status Scheduler::warm_up(int64_t rows, int64_t count) {
  if (rows > policy_.max_batch) return usage_error("a batch of {}; the largest is {}", rows, policy_.max_batch);
  for (int64_t i = 0; i < count; ++i) {
    std::vector<Tensor> outputs;
    VTL_TRY(run_rows(rows, *stagings_[0], outputs));
  }
  return {};
}

}  // namespace vitrail::serve
