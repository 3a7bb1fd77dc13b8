// SPDX-License-Identifier: Apache-2.0
// Load on a server, and what it answers: closed loop, constant rate or Poisson.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "vitrail/status.h"

namespace vitrail::client {

struct LoadOptions {
  int concurrency = 1;     // closed loop: each of so many clients sends when its last answer has come
  double rate = 0;         // > 0: requests a second, sent on time whatever the answers do
  bool poisson = false;    // of a rate: exponential intervals instead of equal ones
  int max_in_flight = 512;  // of a rate: clients at the most; when all wait, requests leave late and count from when they were due
  double warm_up_seconds = 1;
  double seconds = 10;
  uint64_t seed = 1;
};

// One exchange of client `client`, number `number` of all; called from that client's thread.
using Exchange = std::function<Status(int client, int64_t number)>;

struct LoadResult {
  std::vector<double> latencies_us;  // of the answers that were good, in the order in which they came
  std::vector<double> failed_us;       // of the others
  std::map<std::string, int64_t> faults;  // by message
  // The window after the warm-up, and the good answers that came in it, also to requests from before: few long
  // requests would distort a rate by what is under way at its ends.
  double seconds = 0;
  int64_t completed = 0;
  int64_t late = 0;    // of a rate: requests that left more than a millisecond after they were due

  double mean_us() const;
  double deviation_us() const;
  double per_second() const { return seconds > 0 ? static_cast<double>(completed) / seconds : 0; }
};

// Of the sorted values the one at index max(n-1-int((1-p/100)·n), 0); 0 of none.
double percentile(std::vector<double> values, double p);

// When requests of a rate are due, seconds from the start, ascending, up to `seconds`.
std::vector<double> due_times(double rate, bool poisson, double seconds, uint64_t seed);

// Requests that begin in the warm-up are not counted. kCancelled when interrupted; `result` holds what there was.
Status run_load(const LoadOptions& options, const Exchange& exchange, LoadResult& result);

}  // namespace vitrail::client
