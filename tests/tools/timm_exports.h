// SPDX-License-Identifier: Apache-2.0
// The models of export_timm.py, made on first use and kept in .cache/ of the source tree.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace vitrail {

struct TimmExports {
  std::filesystem::path folder;
  std::vector<std::string> names;  // NAME.onnx and NAME.npz; sorted
  std::string why_none;            // reason for GTEST_SKIP when there are no names
};

// Needs a Python with torch, timm, onnx and onnxscript: $VITRAIL_PYTHON, else .venv/bin/python of the source
// tree, else python3.
inline TimmExports timm_exports(const std::filesystem::path& source_folder) {
  namespace fs = std::filesystem;
  const fs::path venv = source_folder / ".venv/bin/python";
  const char* given = std::getenv("VITRAIL_PYTHON");
  const std::string python = given ? given : fs::exists(venv) ? venv.string() : "python3";
  TimmExports exports{source_folder / ".cache/timm_exports", {}, ""};
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
