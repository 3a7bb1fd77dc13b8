// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/module/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <vector>

#include "backends/tensorrt/module/plugin_layers.h"
#include "core/error.h"

#ifndef VTL_TRT_LIBRARY_FOLDER
#define VTL_TRT_LIBRARY_FOLDER ""
#endif

namespace vitrail::tensorrt {
namespace {

constexpr const char* kFolderVariable = "VITRAIL_TENSORRT_LIB";

template <class F>
bool find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

// Where the build found the library, unless the user names a folder; then where the loader looks.
std::vector<std::string> candidates() {
  const std::vector<std::string> names =
#ifdef VTL_TRT_RTX
      {"libtensorrt_rtx.so.1", "libtensorrt_rtx.so"};
#else
      {fmt::format("libnvinfer.so.{}", NV_TENSORRT_MAJOR), "libnvinfer.so"};
#endif
  std::vector<std::string> paths;
  const char* folder = std::getenv(kFolderVariable);
  if (folder && *folder) {
    for (const std::string& name : names) paths.push_back(fmt::format("{}/{}", folder, name));
    return paths;
  }
  if (std::string(VTL_TRT_LIBRARY_FOLDER) != "")
    for (const std::string& name : names) paths.push_back(fmt::format("{}/{}", VTL_TRT_LIBRARY_FOLDER, name));
  paths.insert(paths.end(), names.begin(), names.end());
  return paths;
}

template <class T>
Result<std::unique_ptr<T>> owned(void* object, const char* what) {
  if (!object)
    return internal_error(
        "TensorRT cannot create {}; its log says why, and a missing or old GPU driver is the usual cause",
        what);
  return std::unique_ptr<T>(static_cast<T*>(object));
}

}  // namespace

Result<Library> Library::open() {
  Library library;
  void* handle = nullptr;
  std::string reason;
  for (const std::string& path : candidates()) {
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (handle) {
      library.path_ = path;
      break;
    }
    const char* error = dlerror();
    if (reason.empty()) reason = error ? error : "unknown error";
  }
  if (!handle)
    return unavailable(
        "TensorRT's library cannot be opened ({}); install it, or name the folder that it lies in by {}; "
        "this module was "
        "built for {}",
        reason, kFolderVariable, header_version());
  int32_t (*version)() noexcept = nullptr;
  for (const auto& [name, found] :
       {std::pair{"createInferBuilder_INTERNAL",
                  find(handle, "createInferBuilder_INTERNAL", library.create_builder_)},
        {"createInferRuntime_INTERNAL", find(handle, "createInferRuntime_INTERNAL", library.create_runtime_)},
        {"createInferRefitter_INTERNAL",
         find(handle, "createInferRefitter_INTERNAL", library.create_refitter_)},
        {"getInferLibVersion", find(handle, "getInferLibVersion", version)}})
    if (!found)
      return unavailable(
          "{} has no function {}: it is no TensorRT library, or a stub of one; install TensorRT {}",
          library.path_, name, header_version());
  library.version_ = version();
  int32_t (*part)() noexcept = nullptr;
  library.rtx_ = library.path_.find("tensorrt_rtx") != std::string::npos;
  const int v = library.version_;  // 8503 is 8.5.3, 101001 is 10.10.1
  const bool wide = v >= 10000;
  library.parts_[0] = wide ? v / 10000 : v / 1000;
  library.parts_[1] = wide ? v / 100 % 100 : v / 100 % 10;
  library.parts_[2] = v % 100;
  const char* names[] = {"getInferLibMajorVersion", "getInferLibMinorVersion", "getInferLibPatchVersion"};
  for (int i = 0; i < 3; ++i)
    if (find(handle, names[i], part)) library.parts_[i] = part();
  // The interfaces of one major version only grow; RTX counts its own versions.
  if (!library.rtx_ && library.parts_[0] != NV_TENSORRT_MAJOR)
    return unavailable("{} is {}, but this module was built for {}: build Vitrail against its headers",
                       library.path_, library.name(), header_version());
  register_plugins(handle);
  return library;
}

Result<const Library*> Library::get() {
  static std::mutex mutex;
  static std::unique_ptr<Library> known;
  const std::lock_guard lock(mutex);
  if (!known) {
    VTL_ASSIGN(Library library, open());
    known = std::make_unique<Library>(std::move(library));
  }
  return known.get();
}

std::string Library::name() const {
  return fmt::format("{} {}.{}.{}", rtx_ ? "TensorRT-RTX" : "TensorRT", parts_[0], parts_[1], parts_[2]);
}

Result<std::unique_ptr<nv::IBuilder>> Library::make_builder(nv::ILogger& logger) const {
  return owned<nv::IBuilder>(create_builder_(&logger, version_), "a builder");
}
Result<std::unique_ptr<nv::IRuntime>> Library::make_runtime(nv::ILogger& logger) const {
  return owned<nv::IRuntime>(create_runtime_(&logger, version_), "a runtime");
}
Result<std::unique_ptr<nv::IRefitter>> Library::make_refitter(nv::ICudaEngine& engine,
                                                              nv::ILogger& logger) const {
  return owned<nv::IRefitter>(create_refitter_(&engine, &logger, version_), "a refitter");
}

}  // namespace vitrail::tensorrt
