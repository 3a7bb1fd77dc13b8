// SPDX-License-Identifier: Apache-2.0
// The models of export_timm.py, made on first use and kept in .cache/ of the source tree.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "python.h"

namespace vitrail {

struct TimmExports {
  std::filesystem::path folder;
  std::vector<std::string> names;  // NAME.onnx and NAME.npz; sorted
  std::string why_none;            // reason for GTEST_SKIP when there are no names
};

// In $VTL_EXPORTS (scripts/test.sh sets it), else .cache/timm_exports of the source tree. Needs torch, timm, onnx and
// onnxscript in test_python().
inline TimmExports timm_exports(const std::filesystem::path& source_folder) {
  namespace fs = std::filesystem;
  const char* given = std::getenv("VTL_EXPORTS");
  const std::string python = test_python();
  TimmExports exports{given ? fs::path(given) : source_folder / ".cache/timm_exports", {}, ""};
  const std::string command = "'" + python + "' '" + (source_folder / "tests/tools/export_timm.py").string() +
                              "' '" + exports.folder.string() + "' >/dev/null 2>&1";
  if (std::system(command.c_str()) != 0) {
    exports.why_none = "this fails (are torch, timm, onnx and onnxscript there?): " + command;
    return exports;
  }
  for (const auto& entry : fs::directory_iterator(exports.folder))
    if (entry.path().extension() == ".onnx") exports.names.push_back(entry.path().stem().string());
  std::sort(exports.names.begin(), exports.names.end());
  return exports;
}

}  // namespace vitrail
