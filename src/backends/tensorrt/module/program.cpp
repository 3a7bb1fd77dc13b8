// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/program.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "backends/tensorrt/module/context.h"
#include "backends/tensorrt/module/plan_backend.h"
#include "backends/tensorrt/module/plan_weights.h"
#include "core/error.h"

namespace vitrail::tensorrt {
namespace {

int64_t align(int64_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

PlanProgram::~PlanProgram() {
  engines_.clear();
  runtime_.reset();
}

Result<std::shared_ptr<const Program>> PlanProgram::create(std::shared_ptr<const Graph> graph,
                                                           bool plan_only) {
  auto program = std::shared_ptr<PlanProgram>(new PlanProgram(std::move(graph)));
  VTL_TRY(program->read_plan());
  if (!plan_only) VTL_TRY(program->open());
  return std::shared_ptr<const Program>(std::move(program));
}

// Nothing of the file is trusted: its hashes say that it is whole, not that we wrote it.
Status PlanProgram::read_plan() {
  const Graph& g = *graph_;
  const bool is_plan =
      g.nodes.size() == 1 && g.nodes[0].op == Op::Plan && g.is_constant(g.nodes[0].input(0)) &&
      g.constant(g.nodes[0].input(0)).dtype() == DType::kU8 && g.nodes[0].outputs == g.outputs;
  if (!is_plan) return bad_input("the engine holds no TensorRT plan; build it again with --backend tensorrt");
  profiles_ = node().integers(kProfiles);
  context_bytes_ = node().integers(kContextBytes);
  const bool fits =
      profiles_.size() % 3 == 0 &&
      (context_bytes_.empty() || context_bytes_.size() == std::max<size_t>(profiles_.size() / 3, 1));
  if (!fits || std::ranges::any_of(context_bytes_, [](int64_t b) { return b < 0; }))
    return bad_input("the engine's TensorRT profiles are damaged; build it again");
  return {};
}

// What needs no GPU to be seen; versions that differ by less are TensorRT's to judge.
Status PlanProgram::check_library() const {
  const auto built = graph_->metadata.find(kLibraryKey);
  if (built == graph_->metadata.end()) return {};
  const auto line = [](const std::string& name) { return name.substr(0, name.find('.')); };  // "TensorRT 8"
  if (line(built->second) == line(library_->name())) return {};
  return unavailable("the engine's plan was built by {}, here is {}: build it again here, or point VITRAIL_TENSORRT_LIB at that one",
                     built->second, library_->name());
}

Status PlanProgram::open() {
  VTL_ASSIGN(library_, Library::get());
  VTL_TRY(check_library());
  VTL_ASSIGN(device_, cuda::current_device());
  VTL_ASSIGN(runtime_, library_->make_runtime(logger_));
  size_t before = 0, after = 0, total = 0;
  VTL_TRY(cuda::cuda_status(cudaMemGetInfo(&before, &total), "the GPU's memory"));
  VTL_ASSIGN(auto engine, deserialize());
  VTL_TRY(cuda::cuda_status(cudaMemGetInfo(&after, &total), "the GPU's memory"));
  // Others may take or free memory meanwhile: no less than nothing.
  device_bytes_ = std::max<int64_t>(0, static_cast<int64_t>(before) - static_cast<int64_t>(after));
  // Known now where the build could not load it, and perhaps another with a later TensorRT.
  context_bytes_.resize(std::max<size_t>(profiles_.size() / 3, 1));
  for (size_t p = 0; p < context_bytes_.size(); ++p)
    context_bytes_[p] = tensorrt::context_bytes(*engine->engine, static_cast<int>(p));
  engines_.push_back(std::move(engine));
  return {};
}

Status PlanProgram::check_interface(const nv::ICudaEngine& engine) const {
  for (const auto& [ids, mode] :
       {std::pair{&graph_->inputs, nv::TensorIOMode::kINPUT}, {&graph_->outputs, nv::TensorIOMode::kOUTPUT}})
    for (ValueId id : *ids) {
      const Value& v = graph_->value(id);
      if (engine.getTensorIOMode(v.name.c_str()) != mode)
        return bad_input("the plan has no {} '{}': it is of another model",
                         mode == nv::TensorIOMode::kINPUT ? "input" : "output", v.name);
      const nv::DataType type = engine.getTensorDataType(v.name.c_str());
      if (type_of(v.dtype) != type)
        return bad_input("'{}' is {} in the plan, {} in the engine file", v.name, type_name(type),
                         dtype_name(v.dtype));
    }
  for (size_t p = 0; p < profiles_.size() / 3; ++p)
    for (ValueId id : graph_->inputs) {
      const Value& v = graph_->value(id);
      if (is_fixed(*v.shape)) continue;
      const auto holds = [&](nv::OptProfileSelector which, int64_t batch, bool least) {
        const nv::Dims d = engine.getProfileShape(v.name.c_str(), static_cast<int32_t>(p), which);
        const Shape wanted = at_batch(*v.shape, batch);
        if (d.nbDims != static_cast<int32_t>(wanted.size())) return false;
        for (size_t i = 0; i < wanted.size(); ++i)
          if (least ? d.d[i] > wanted[i] : d.d[i] < wanted[i]) return false;
        return true;
      };
      if (!holds(nv::OptProfileSelector::kMIN, profiles_[3 * p], true) ||
          !holds(nv::OptProfileSelector::kMAX, profiles_[3 * p + 2], false))
        return bad_input(
            "the plan's profile {} does not hold batch {} to {} of '{}'; give --profile as the plan was "
            "built",
            p, profiles_[3 * p], profiles_[3 * p + 2], v.name);
    }
  if (engine.getNbIOTensors() != static_cast<int32_t>(graph_->inputs.size() + graph_->outputs.size()))
    return bad_input("the plan has {} inputs and outputs, the engine file {}", engine.getNbIOTensors(),
                     graph_->inputs.size() + graph_->outputs.size());
  return {};
}

Result<std::shared_ptr<LoadedEngine>> PlanProgram::deserialize() const {
  const Tensor& plan = graph_->constant(node().input(0));
  auto loaded = std::make_shared<LoadedEngine>();
  logger_.clear();
  loaded->engine.reset(runtime_->deserializeCudaEngine(plan.data(), plan.bytes()));
  if (!loaded->engine) {
    const auto built = graph_->metadata.find(kLibraryKey);
    const auto on = graph_->metadata.find(kDeviceKey);
    return explain_failure(
        logger_, {},
        fmt::format("a plan of {}{}, read by {} on {} (sm_{})",
                    built == graph_->metadata.end() ? "an unknown TensorRT" : built->second,
                    on == graph_->metadata.end() ? "" : " for " + on->second, library_->name(), device_.name,
                    device_.cc));
  }
  VTL_TRY(check_interface(*loaded->engine));
  VTL_ASSIGN(const PlanWeights weights, read_weights(*graph_));
  VTL_TRY(put_weights(*library_, *loaded->engine, weights, logger_));
  return loaded;
}

Result<std::shared_ptr<LoadedEngine>> PlanProgram::lease() const {
  const std::lock_guard lock(mutex_);
  for (const auto& engine : engines_)
    if (kProfilesAreShared || engine.use_count() == 1) return engine;
  VTL_ASSIGN(auto engine, deserialize());
  engines_.push_back(engine);
  return engine;
}

int PlanProgram::profile_of(int64_t batch) const {
  if (profiles_.empty()) return 0;
  int best = -1;
  for (size_t p = 0; p < profiles_.size() / 3; ++p) {
    if (batch < profiles_[3 * p] || batch > profiles_[3 * p + 2]) continue;
    const auto distance = [&](int q) { return std::abs(profiles_[3 * static_cast<size_t>(q) + 1] - batch); };
    if (best < 0 || distance(static_cast<int>(p)) < distance(best)) best = static_cast<int>(p);
  }
  return best;
}

std::string PlanProgram::profiles_text() const {
  std::string text;
  for (size_t p = 0; p + 2 < profiles_.size(); p += 3)
    text += fmt::format("{}{}:{}:{}", p ? ", " : "", profiles_[p], profiles_[p + 1], profiles_[p + 2]);
  return text;
}

int64_t PlanProgram::context_bytes(int profile) const {
  return static_cast<size_t>(profile) < context_bytes_.size() ? context_bytes_[static_cast<size_t>(profile)]
                                                              : 0;
}

int64_t PlanProgram::io_bytes(int64_t batch) const {
  int64_t bytes = 0;
  for (const auto* ids : {&graph_->inputs, &graph_->outputs})
    for (ValueId id : *ids) {
      const Value& v = graph_->value(id);
      bytes += align(element_count(at_batch(*v.shape, batch)) * static_cast<int64_t>(dtype_size(v.dtype)));
    }
  return bytes;
}

Result<MemoryPlan> PlanProgram::plan(int64_t batch, int) const {
  MemoryPlan plan;
  // A session at this batch may be sent smaller ones, in other profiles.
  for (size_t p = 0; p < context_bytes_.size(); ++p)
    if (profiles_.empty() || profiles_[3 * p] <= batch)
      plan.arena_bytes = std::max(plan.arena_bytes, context_bytes_[p]);
  plan.unshared_bytes = plan.lower_bound_bytes = plan.arena_bytes;
  plan.scratch_bytes = io_bytes(batch);
  return plan;
}

Result<std::unique_ptr<Context>> PlanProgram::create_context(const ContextOptions& options) const {
  if (!runtime_) return internal_error("the engine was loaded for planning only");
  return PlanContext::create(shared_from_this(), options);
}

std::shared_ptr<void> PlanProgram::allocate_host(size_t bytes) const {
  void* data = nullptr;
  if (cudaMallocHost(&data, std::max<size_t>(bytes, 1)) != cudaSuccess) {
    (void)cudaGetLastError();
    return nullptr;
  }
  return {data, [](void* p) { (void)cudaFreeHost(p); }};
}

std::optional<DeviceInfo> PlanProgram::device_info() const {
  DeviceInfo info;
  info.name = device_.name;
  info.compute_capability = fmt::format("{}.{}", device_.cc / 10, device_.cc % 10);
  std::ifstream file("/proc/driver/nvidia/version");
  info.driver = cuda::driver_version({std::istreambuf_iterator<char>(file), {}});
  info.driver_cuda = cuda::version_text(device_.driver);
  info.runtime_cuda = cuda::version_text(device_.runtime);
  info.multiprocessors = device_.multiprocessors;
  info.memory_bytes = static_cast<int64_t>(device_.memory);
  return info;
}

}  // namespace vitrail::tensorrt
