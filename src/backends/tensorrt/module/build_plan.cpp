// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/build_plan.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "backends/tensorrt/module/calibrator.h"
#include "backends/tensorrt/module/host.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"

namespace vitrail::tensorrt {
namespace {

constexpr size_t kMaxCacheBytes = size_t{1} << 30;

// TensorRT's own count of its phases as a share, and Ctrl-C while it builds.
#if VTL_TRT_AT_LEAST(10, 0)
class Monitor : public nv::IProgressMonitor {
 public:
  explicit Monitor(const std::function<void(double)>& report) : report_(report) {}
  void phaseStart(const char* phase, const char* parent, int32_t steps) noexcept override {
    if (parent) return;
    outer_ = phase;
    steps_ = std::max(steps, 1);
  }
  bool stepComplete(const char* phase, int32_t step) noexcept override {
    if (report_ && outer_ == phase) report_(std::min(1.0, static_cast<double>(step + 1) / steps_));
    return !host_cancelled();
  }
  void phaseFinish(const char*) noexcept override {}

 private:
  const std::function<void(double)>& report_;
  std::string outer_;
  int32_t steps_ = 1;
};
#endif

// The file's content; empty where there is no file yet.
Result<std::string> read_cache(const std::string& path) {
  std::error_code error;
  if (path.empty() || !std::filesystem::exists(path, error)) return std::string();
  return read_file(path, kMaxCacheBytes);
}

// Whether it begins as this TensorRT's caches do: some versions take anything, and say nothing.
bool is_cache(const nv::IBuilderConfig& config, const std::string& blob) {
  constexpr size_t kMagicBytes = 8;
  const std::unique_ptr<nv::ITimingCache> empty(config.createTimingCache(nullptr, 0));
  const std::unique_ptr<nv::IHostMemory> bytes(empty ? empty->serialize() : nullptr);
  if (!bytes || bytes->size() < kMagicBytes) return true;
  return blob.size() >= kMagicBytes && std::memcmp(blob.data(), bytes->data(), kMagicBytes) == 0;
}

Result<std::unique_ptr<nv::ITimingCache>> open_cache(nv::IBuilderConfig& config, const Logger& logger,
                                                     const std::string& path) {
  std::unique_ptr<nv::ITimingCache> cache;
  if (path.empty()) return cache;
  VTL_ASSIGN(const std::string blob, read_cache(path));
  if (blob.empty() || is_cache(config, blob)) cache.reset(config.createTimingCache(blob.data(), blob.size()));
  // Of a damaged one an empty one is made, with a warning. So it is without a GPU, of a whole one too.
  if (logger.lost_timing_cache()) cache.reset();
  if (!cache || !config.setTimingCache(*cache, false))
    return bad_input(
        "--timing-cache {}: it is no timing cache of this TensorRT and GPU, or it is damaged; delete it, and "
        "a new one is "
        "written. TensorRT says: {}",
        path, logger.first_error());
  return cache;
}

Status save_cache(const nv::IBuilderConfig& config, const std::string& path) {
  const nv::ITimingCache* cache = config.getTimingCache();
  if (path.empty() || !cache) return {};
  const std::unique_ptr<nv::IHostMemory> blob(cache->serialize());
  if (!blob) return {};
  const ByteSpan parts[] = {{static_cast<const std::byte*>(blob->data()), blob->size()}};
  return write_file_atomically(path, parts).with_context("--timing-cache");
}

Status add_profiles(nv::IBuilder& builder, nv::IBuilderConfig& config, const Graph& graph,
                    const Logger& logger, const std::vector<Profile>& profiles) {
  for (const Profile& p : profiles) {
    nv::IOptimizationProfile* profile = builder.createOptimizationProfile();
    if (!profile) return explain_failure(logger, {}, "a profile");
    for (ValueId id : graph.inputs) {
      const Value& v = graph.value(id);
      if (is_fixed(*v.shape)) continue;
      for (const auto& [which, batch] : {std::pair{nv::OptProfileSelector::kMIN, p.min},
                                         {nv::OptProfileSelector::kOPT, p.opt},
                                         {nv::OptProfileSelector::kMAX, p.max}})
        if (!profile->setDimensions(v.name.c_str(), which, dims(at_batch(*v.shape, batch))))
          return explain_failure(logger, {}, fmt::format("--profile {}:{}:{}", p.min, p.opt, p.max));
    }
    if (config.addOptimizationProfile(profile) < 0)
      return explain_failure(logger, {}, fmt::format("--profile {}:{}:{}", p.min, p.opt, p.max));
  }
  return {};
}

bool is_dynamic(const Graph& graph) {
  return std::ranges::any_of(graph.inputs, [&](ValueId id) { return !is_fixed(*graph.value(id).shape); });
}

// TensorRT does not say how much it wants: larger limits are tried, as long as that is quick. 0: none was found.
int64_t workspace_that_works(nv::IBuilder& builder, nv::INetworkDefinition& network, nv::IBuilderConfig& config, int64_t limit) {
  constexpr int64_t kMost = int64_t{1} << 38, kNanoseconds = 60'000'000'000;
  const int64_t start = steady_nanoseconds();
  for (int64_t bytes = limit; bytes < kMost && !host_cancelled();) {
    bytes *= 2;
    config.setMemoryPoolLimit(nv::MemoryPoolType::kWORKSPACE, static_cast<size_t>(bytes));
    if (const std::unique_ptr<nv::IHostMemory> plan(builder.buildSerializedNetwork(network, config)); plan) return bytes;
    if (steady_nanoseconds() - start > kNanoseconds) break;
  }
  return 0;
}

std::string too_small(int64_t limit, int64_t enough, const std::string& failure) {
  const std::string way_out = enough > 0 ? fmt::format("{} bytes are enough: give --workspace {}MiB", enough, ((enough - 1) >> 20) + 1)
                                         : std::string("no larger one was found within a minute");
  return fmt::format("--workspace {}: it is too small for TensorRT's builder; {}. {}", limit, way_out, failure);
}

std::vector<NamedTensor> weights_of(const Network& network) {
  std::vector<NamedTensor> out;
  for (const NamedWeights& w : network.refittable()) {
    const Tensor view(*dtype_of(w.weights.type), w.shape, w.weights.values, nullptr);
    out.push_back({w.name, view.clone()});
  }
  return out;
}

}  // namespace

Result<std::vector<NamedTensor>> plan_weights(const Library& library, const Graph& graph,
                                              const CompileOptions& options, PluginUse plugins) {
  Logger logger;
  VTL_ASSIGN(const Precision precision, parse_precision(options.precision));
  VTL_ASSIGN(const auto builder, library.make_builder(logger));
  const auto definition = make_network(*builder, precision);
  if (!definition) return explain_failure(logger, {}, "TensorRT's builder");
  Network network(*definition, graph, precision, logger, options.absmax, plugins);
  VTL_TRY(network.build());
  return weights_of(network);
}

Result<BuiltPlan> read_plan_file(const Graph& graph, const std::string& path) {
  constexpr size_t kMaxPlanBytes = size_t{64} << 30;
  VTL_ASSIGN(const std::string blob, read_file(path, kMaxPlanBytes));
  // "ptrt", "ftrt", "vtrt": the first letter is the version's.
  if (blob.size() < 32 || blob.compare(1, 3, "trt") != 0)
    return bad_input(
        "--load-engine {}: it is no TensorRT plan; give one that `vitrail build --save-engine` or trtexec "
        "wrote",
        path);
  BuiltPlan built;
  const auto* bytes = reinterpret_cast<const std::byte*>(blob.data());
  built.bytes.assign(bytes, bytes + blob.size());
  built.dynamic = is_dynamic(graph);
  return built;
}

Result<BuiltPlan> build_plan(const Library& library, const Graph& graph, const CompileOptions& options,
                             const PlanOptions& plan, PluginUse plugins) {
  Logger logger;
  VTL_ASSIGN(const Precision precision, parse_precision(options.precision, plan.calibration.wanted()));
  VTL_ASSIGN(const auto builder, library.make_builder(logger));
  const auto definition = make_network(*builder, precision);
  const std::unique_ptr<nv::IBuilderConfig> config(builder->createBuilderConfig());
  if (!definition || !config) return explain_failure(logger, {}, "TensorRT's builder");
  Network network(*definition, graph, precision, logger, options.absmax, plugins);
  VTL_TRY(network.build());

  BuiltPlan built;
  built.dynamic = is_dynamic(graph);
  set_precision(*config, precision);
  VTL_TRY(set_plan_options(*config, plan));
  config->setMemoryPoolLimit(nv::MemoryPoolType::kWORKSPACE, static_cast<size_t>(plan.workspace_bytes));
  // What each layer became is read back: `explain` needs the long form.
  config->setProfilingVerbosity(nv::ProfilingVerbosity::kDETAILED);
  VTL_ASSIGN(const auto calibration, add_calibration(library, *builder, *config, graph, plan.calibration));
  if (built.dynamic) VTL_TRY(add_profiles(*builder, *config, graph, logger, plan.profiles));
  VTL_ASSIGN(const auto cache, open_cache(*config, logger, options.timing_cache));
#if VTL_TRT_AT_LEAST(10, 0)
  Monitor monitor(options.progress);
  config->setProgressMonitor(&monitor);
#endif
  if (host_cancelled()) return cancelled();
  const std::unique_ptr<nv::IHostMemory> memory(builder->buildSerializedNetwork(*definition, *config));
  if (host_cancelled()) return cancelled();
  if (calibration) VTL_TRY(calibration->finish(memory != nullptr));
  if (!memory) {
    Status failure = explain_failure(logger, graph.nodes, "the TensorRT build");
    if (!wants_workspace(logger)) return failure;
    const int64_t enough = workspace_that_works(*builder, *definition, *config, plan.workspace_bytes);
    if (host_cancelled()) return cancelled();
    return Status(Code::kResource, too_small(plan.workspace_bytes, enough, failure.message()));
  }
  VTL_TRY(save_cache(*config, options.timing_cache));
  const auto* bytes = static_cast<const std::byte*>(memory->data());
  built.bytes.assign(bytes, bytes + memory->size());
  if (plan.strip_weights || plan.refit) built.weights = weights_of(network);
  built.layers = logger.layers();
  return built;
}

}  // namespace vitrail::tensorrt
