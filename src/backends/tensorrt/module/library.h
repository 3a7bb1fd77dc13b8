// SPDX-License-Identifier: Apache-2.0
// TensorRT's shared library, opened at run time.
#pragma once

#include <memory>
#include <string>

#include "backends/tensorrt/module/compat.h"
#include "vitrail/status.h"

namespace vitrail::tensorrt {

class Library {
 public:
  // Opened once and kept. kUnavailable when it is not found, lacks an entry point or is of another major
  // version than the headers that this module was compiled with; tried again then.
  static Result<const Library*> get();

  // kInternal with the logger's last error. The logger must outlive the object.
  Result<std::unique_ptr<nv::IBuilder>> make_builder(nv::ILogger& logger) const;
  Result<std::unique_ptr<nv::IRuntime>> make_runtime(nv::ILogger& logger) const;
  Result<std::unique_ptr<nv::IRefitter>> make_refitter(nv::ICudaEngine& engine, nv::ILogger& logger) const;

  bool is_rtx() const { return rtx_; }
  // "TensorRT 8.5.3", "TensorRT-RTX 1.7.1"
  std::string name() const;
  int version() const { return version_; }  // as the library counts it: 8503, 101601
  const std::string& path() const { return path_; }

 private:
  static Result<Library> open();

  void* (*create_builder_)(void* logger, int32_t version) noexcept = nullptr;
  void* (*create_runtime_)(void* logger, int32_t version) noexcept = nullptr;
  void* (*create_refitter_)(void* engine, void* logger, int32_t version) noexcept = nullptr;
  int32_t version_ = 0;  // as the library counts it
  int parts_[3] = {0, 0, 0};
  bool rtx_ = false;
  std::string path_;
};

}  // namespace vitrail::tensorrt
