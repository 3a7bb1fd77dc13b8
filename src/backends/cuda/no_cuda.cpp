// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/backend.h"
#include "core/error.h"

namespace vitrail {
namespace {

// Stands in where the build found no CUDA compiler.
class NoCudaBackend : public Backend {
 public:
  std::string_view name() const override { return "cuda"; }
  Status available() const override {
    return unavailable(
        "this Vitrail was built without CUDA; install the CUDA toolkit (nvcc 12.4 or newer) and configure "
        "with "
        "-DVITRAIL_CUDA=ON, or use --backend cpu");
  }
  Result<std::vector<LayerReport>> compile(Graph&, const CompileOptions&) const override {
    return available();
  }
  Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph>,
                                              const LoadOptions&) const override {
    return available();
  }
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<NoCudaBackend>(); }

}  // namespace vitrail
