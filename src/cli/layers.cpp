// SPDX-License-Identifier: Apache-2.0
#include "cli/layers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "core/text_table.h"

namespace vitrail::cli {

std::string layer_table(const std::vector<LayerReport>& layers, bool with_reasons) {
  // The kernel last: TensorRT's names fill a line of their own.
  TextTable table({"stage", "layer", "operator", "precision", "MFLOP/image", "kernel"});
  for (const LayerReport& l : layers)
    table.add_row(
        {l.stage, l.name, l.op, l.precision, fmt::format("{:.1f}", l.flops_per_image * 1e-6), l.kernel});
  std::string text = table.str();
  if (!with_reasons) return text;
  text += "\nKernels that declined:\n";
  bool any = false;
  for (const LayerReport& l : layers)
    for (const Refusal& r : l.refused) {
      text += fmt::format("  {}: {} declined: {}\n", l.name, r.kernel, r.reason);
      any = true;
    }
  if (!any) text += "  none: every layer got the first kernel of its list\n";
  return text;
}

nlohmann::ordered_json layers_json(const std::vector<LayerReport>& layers) {
  auto list = nlohmann::ordered_json::array();
  for (const LayerReport& l : layers) {
    auto refused = nlohmann::ordered_json::array();
    for (const Refusal& r : l.refused) refused.push_back({{"kernel", r.kernel}, {"reason", r.reason}});
    list.push_back({{"name", l.name},
                    {"op", l.op},
                    {"stage", l.stage},
                    {"kernel", l.kernel},
                    {"precision", l.precision},
                    {"flops_per_image", l.flops_per_image},
                    {"refused", refused}});
  }
  return list;
}

std::string plan_text(const MemoryPlan& plan, int64_t batch, int threads) {
  return fmt::format(
      "Memory plan at batch {} with {} thread{}: {} = activations {} (unshared {}) + scratch {}\n", batch,
      threads, threads == 1 ? "" : "s", human_bytes(plan.total()), human_bytes(plan.arena_bytes),
      human_bytes(plan.unshared_bytes), human_bytes(plan.scratch_bytes));
}

nlohmann::ordered_json plan_json(const MemoryPlan& plan, int64_t batch) {
  return {{"batch", batch},
          {"total_bytes", plan.total()},
          {"arena_bytes", plan.arena_bytes},
          {"unshared_bytes", plan.unshared_bytes},
          {"scratch_bytes", plan.scratch_bytes}};
}

}  // namespace vitrail::cli
