// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>

#include "backends/cuda/compile.h"
#include "backends/cuda/context.h"
#include "backends/cuda/kernel_list.h"
#include "backends/cuda/steps/steps.h"
#include "backends/cuda/tactics.h"
#include "backends/cuda/timing.h"
#include "core/cancel.h"
#include "core/error.h"

namespace vitrail::cuda {
namespace {

constexpr size_t kOwnCandidates = 6, kOwnCandidatesOfFewRows = 12;
constexpr int64_t kFewRows = 2048;
constexpr int kLtCandidates = 2, kTimed = 12;

int64_t align(int64_t bytes) { return (bytes + 255) / 256 * 256; }

int64_t weight_bytes(const Product& p) { return align(p.args.n * p.args.k * type_size(p.type)); }
int copies_of_weight(const Product& p) {
  return p.args.m > kFewRows ? 1 : copies_that_leave_the_cache(weight_bytes(p), kTimed);
}

// Where the operands of a product go in the scratch memory; total bytes when `base` is null.
int64_t place(Product& p, std::byte* base) {
  GemmArgs& a = p.args;
  int64_t next = 0;
  const auto put = [&](auto*& pointer, bool wanted, int64_t bytes) {
    if (!wanted) return;
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(base + next);
    next += align(bytes);
  };
  const int64_t in = type_size(p.type), out = type_size(a.out);
  put(a.a, true, a.m * a.k * in);
  put(a.b, true, weight_bytes(p) * copies_of_weight(p));
  put(a.bias, a.bias, a.n * 4);
  put(a.col_scale, a.col_scale, a.n * 4);
  put(a.stats, a.stats, a.m * ((a.k + kStatsColumns - 1) / kStatsColumns) * 8);
  put(a.residual, a.residual, a.residual_rows * a.n * out);
  put(a.d, a.d, a.m * a.n * out);
  put(a.stats_out, a.stats_out, a.m * ((a.n + kStatsColumns - 1) / kStatsColumns) * 8);
  put(a.d8, a.d8, a.m * a.n);
  return next;
}

class Tuner {
 public:
  static Result<std::unique_ptr<Tuner>> create(const Target& target, int64_t bytes) {
    std::unique_ptr<Tuner> t(new Tuner(target));
    VTL_ASSIGN(t->memory_,
               allocate_device(static_cast<size_t>(bytes), "the operands of the kernels to be timed"));
    VTL_ASSIGN(t->workspace_, allocate_device(kLtWorkspaceBytes, "the workspace of cuBLASLt"));
    VTL_ASSIGN(t->stream_, make_stream());
    if (auto lt = Lt::open(); lt.ok()) t->lt_ = *lt;
    VTL_TRY(fill_with_numbers(t->memory_, "the operands of the kernels to be timed"));
    return t;
  }

  bool has_lt() const { return lt_ != nullptr; }

  // The fastest configuration; those that fail are passed over.
  Result<Timing> best(Product p) {
    place(p, memory_.data());
    std::vector<std::string> configs;
    for (const GemmConfig& c : gemm_candidates(p.type, p.args, target_.device.multiprocessors)) {
      if (configs.size() == (p.args.m > kFewRows ? kOwnCandidates : kOwnCandidatesOfFewRows)) break;
      configs.push_back(c.name());
    }
    if (has_lt() && refuse_lt(p).empty() && p.type != Type::kE4M3)
      for (int i = 0; i < kLtCandidates; ++i) configs.push_back(kLtPrefix + std::to_string(i));
    Timing best{"", INFINITY};
    for (const std::string& config : configs) {
      if (cancel::requested()) return cancelled();
      const auto us = time(p, config);
      if (us.ok() && *us < best.us) best = {config, *us};
      // A lost context cannot be passed over.
      if (!us.ok() && cudaStreamSynchronize(stream_.get()) != cudaSuccess) return us.status();
    }
    return best;
  }

 private:
  explicit Tuner(const Target& target) : target_(target) {}

  Result<double> time(const Product& p, const std::string& config) {
    Binding b;
    b.workspace = workspace_.data();
    b.workspace_bytes = kLtWorkspaceBytes;
    b.device = &target_.device;
    b.lt = lt_.get();
    std::vector<std::unique_ptr<Launch>> launches;
    for (int i = 0; i < copies_of_weight(p); ++i) {
      Product copy = p;
      copy.args.b = static_cast<const std::byte*>(p.args.b) + weight_bytes(p) * i;
      VTL_ASSIGN(auto launch, bind_product(copy, config, b, "tuning " + config));
      launches.push_back(std::move(launch));
    }
    const bool own = launches[0]->ends_in_own_kernel();
    return graph_microseconds(
        stream_.get(), kTimed,
        [&](int i) {
          return launches[static_cast<size_t>(i) % launches.size()]->enqueue(stream_.get(), own && i > 0);
        },
        "tuning " + config);
  }

  Target target_;
  DeviceMemory memory_, workspace_;
  Stream stream_;
  std::shared_ptr<Lt> lt_;
};

bool is_tuned(const Node& node) {
  return kernel_of(node) == "gemm_wgmma" || node.text("product", "") == "gemm_wgmma";
}

}  // namespace

Status tune(Graph& graph, const Target& target, const CompileOptions& options) {
  TacticCache cache =
      TacticCache::open(options.timing_cache.empty() ? default_cache_path() : options.timing_cache);
  const std::vector<int64_t> buckets = bucket_sizes(options.max_batch);
  std::map<std::string, Product> missing;
  for (const Node& node : graph.nodes)
    if (is_tuned(node))
      for (int64_t batch : buckets) {
        const Product p = product_of(graph, node, batch);
        if (const std::string key = tactic_key(target.device, p); !cache.find(key)) missing.emplace(key, p);
      }
  if (!missing.empty()) {
    int64_t bytes = 0;
    for (auto [key, p] : missing) bytes = std::max(bytes, place(p, nullptr));
    VTL_ASSIGN(const auto tuner, Tuner::create(target, bytes));
    double done = 0;
    for (const auto& [key, p] : missing) {
      VTL_ASSIGN(Timing timing, tuner->best(p));
      if (!timing.config.empty()) cache.put(key, std::move(timing));
      if (options.progress) options.progress(0.3 + 0.7 * ++done / static_cast<double>(missing.size()));
    }
    // A cache that cannot be written costs the next build its time, and this one nothing.
    (void)cache.save();
  }
  for (Node& node : graph.nodes) {
    if (!is_tuned(node)) continue;
    std::vector<std::string> tactics;
    bool lt = false;
    for (int64_t batch : buckets)
      if (const auto timing = cache.find(tactic_key(target.device, product_of(graph, node, batch)))) {
        tactics.push_back(fmt::format("{}={}", batch, timing->config));
        lt |= timing->config.starts_with(kLtPrefix);
      }
    if (!tactics.empty()) node.attributes["tactics"] = std::move(tactics);
    if (lt) node.attributes["tactics_lt"] = std::string("1");
  }
  return {};
}

}  // namespace vitrail::cuda
