// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/backend.h"

#include "backends/cuda/compile.h"
#include "backends/cuda/program.h"
#include "core/cancel.h"
#include "core/error.h"

namespace vitrail {
namespace {

using namespace cuda;

constexpr const char* kDeviceKey = "cuda.device";
constexpr const char* kCapabilityKey = "cuda.cc";

// Kernels and timings are for one generation of GPUs.
Status check_device(const Graph& graph, const Device& device) {
  const auto cc = graph.metadata.find(kCapabilityKey);
  if (cc == graph.metadata.end() || cc->second == std::to_string(device.cc)) return {};
  const auto name = graph.metadata.find(kDeviceKey);
  return unavailable("this engine was built for sm_{} ({}), here is sm_{} ({}): build it again here",
                     cc->second, name == graph.metadata.end() ? "unknown" : name->second, device.cc,
                     device.name);
}

class CudaBackend : public Backend {
 public:
  std::string_view name() const override { return "cuda"; }
  Status available() const override { return current_device().status(); }

  Result<std::vector<LayerReport>> compile(Graph& graph, const CompileOptions& options) const override {
    Target target;
    VTL_ASSIGN(target.device, current_device());
    VTL_ASSIGN(target.precision, parse_precision(options.precision, target.device));
    const auto at = [&](double done) {
      if (options.progress) options.progress(done);
      return cancel::requested() ? cancelled() : Status();
    };
    VTL_ASSIGN(auto reports, rewrite(graph, target, options));
    VTL_TRY(at(0.3));
    VTL_TRY(tune(graph, target, options));
    graph.metadata[kDeviceKey] = target.device.name;
    graph.metadata[kCapabilityKey] = std::to_string(target.device.cc);
    VTL_TRY(at(1));
    return reports;
  }

  Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph> graph,
                                              const LoadOptions& options) const override {
    VTL_ASSIGN(const Device device, current_device());
    VTL_TRY(check_device(*graph, device));
    return CudaProgram::create(std::move(graph), device, options.plan_only);
  }
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<CudaBackend>(); }

}  // namespace vitrail
