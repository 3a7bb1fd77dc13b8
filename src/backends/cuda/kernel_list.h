// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backends/cuda/step.h"

namespace vitrail::cuda {

// A way to compute an operator. The list of an operator is ordered best → host; the first that does not
// refuse the node gets it, and the refusals are what `explain` shows.
struct KernelEntry {
  Op op;
  std::string_view name;
  // Empty: takes the node as the passes left it; else why not.
  std::string (*refuse)(const Graph&, const Node&, const Target&);
  // Null: the output is the input under another shape.
  std::unique_ptr<Step> (*make)(const Graph&, const Node&);
};

std::span<const KernelEntry> entries();
const KernelEntry* find_entry(std::string_view name, Op op);

// Ends every list: the node runs on the CPU backend between two copies.
inline constexpr std::string_view kHostKernel = "host";

inline std::string kernel_of(const Node& node) { return node.text("kernel", ""); }
inline bool is_view(const Node& node) { return kernel_of(node) == "view"; }
inline bool is_host(const Node& node) { return kernel_of(node) == kHostKernel; }

}  // namespace vitrail::cuda
