// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/backend.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>

#include "backends/tensorrt/module_entry.h"
#include "core/cancel.h"
#include "core/error.h"
#include "vitrail/version.h"

namespace vitrail {
namespace {

using namespace tensorrt;

constexpr const char* kModulePath = "VITRAIL_TENSORRT_MODULE";

// The module lies beside the program or library that this code is in, or in ../lib; else where the loader
// looks.
std::vector<std::string> candidates() {
  if (const char* path = std::getenv(kModulePath)) return {path};
  std::vector<std::string> paths;
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&make_tensorrt_backend), &here) && here.dli_fname) {
    const std::string file = here.dli_fname;
    const size_t slash = file.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : file.substr(0, slash);
    for (const char* at : {"/", "/../lib/", "/../lib/x86_64-linux-gnu/"})
      paths.push_back(folder + at + kModuleName);
  }
  paths.push_back(kModuleName);
  return paths;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// The module's backend. Closing a library that NVIDIA's driver has been called from ends badly: it stays
// open.
Result<const Backend*> open_module() {
  void* module = nullptr;
  std::string reason;
  for (const std::string& path : candidates()) {
    module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module) break;
    const char* error = dlerror();
    if (reason.empty() || exists(path)) reason = error ? error : "unknown error";
  }
  if (!module)
    return unavailable(
        "this Vitrail has no TensorRT module ({}): install TensorRT 8.5 or newer, or TensorRT-RTX, with its "
        "headers, "
        "configure with -DTensorRT_ROOT=FOLDER (which holds include/NvInfer.h and lib/) and build again; or "
        "point {} "
        "at a {}; or use --backend cuda",
        reason, kModulePath, kModuleName);
  const auto entry = reinterpret_cast<Entry>(dlsym(module, kEntryName));
  static const Host host{cancel::requested};
  const Backend* backend = entry ? entry(version(), kLayout, host) : nullptr;
  if (!backend)
    return unavailable("{} is of another build than this Vitrail {}: build both from one source", kModuleName,
                       version());
  return backend;
}

Result<const Backend*> module() {
  static std::mutex mutex;
  static const Backend* known = nullptr;  // a failure is tried again
  const std::lock_guard lock(mutex);
  if (known) return known;
  VTL_ASSIGN(known, open_module());
  return known;
}

class TensorRtBackend : public Backend {
 public:
  std::string_view name() const override { return "tensorrt"; }
  Status available() const override {
    VTL_ASSIGN(const Backend* backend, module());
    return backend->available();
  }
  Result<std::vector<LayerReport>> compile(Graph& graph, const CompileOptions& options) const override {
    VTL_ASSIGN(const Backend* backend, module());
    return backend->compile(graph, options);
  }
  Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph> graph,
                                              const LoadOptions& options) const override {
    VTL_ASSIGN(const Backend* backend, module());
    return backend->load(std::move(graph), options);
  }
};

}  // namespace

std::unique_ptr<Backend> make_tensorrt_backend() { return std::make_unique<TensorRtBackend>(); }

}  // namespace vitrail
