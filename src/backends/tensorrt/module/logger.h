// SPDX-License-Identifier: Apache-2.0
// TensorRT says what went wrong in its log alone.
#pragma once

#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backends/tensorrt/module/compat.h"
#include "graph/graph.h"

namespace vitrail::tensorrt {

class Logger : public nv::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override;

  std::string first_error() const;        // the one that the others follow from; empty without one
  bool has(std::string_view text) const;  // in any error
  bool lost_timing_cache() const;         // one was damaged or of another GPU, as far as there is a GPU
  std::string layers() const;             // the builder's list of the engine's layers; empty without one
  void clear();

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> errors_;
  std::string layers_;
  bool lost_timing_cache_ = false;
};

// What a failed build or load means: the message of the log with the name of Vitrail's layer, the likely
// cause and the way out. `nodes`: of the graph that was handed over; may be empty.
Status explain_failure(const Logger& logger, std::span<const Node> nodes, const std::string& what);

// Whether a build failed for want of workspace.
bool wants_workspace(const Logger& logger);

// The first node whose name stands in the text as a whole word; null for none. "{ForeignNode[a...b]}" names
// its ends.
const Node* find_layer(std::string_view text, std::span<const Node> nodes);

}  // namespace vitrail::tensorrt
