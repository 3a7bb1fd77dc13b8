// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/backend.h"

#include "backends/cpu/program.h"
#include "core/cancel.h"
#include "core/error.h"
#include "graph/edit.h"

namespace vitrail {
namespace {

using namespace cpu;

class CpuBackend : public Backend {
 public:
  std::string_view name() const override { return "cpu"; }
  Status available() const override { return {}; }

  Result<std::vector<LayerReport>> compile(Graph& graph, const CompileOptions& options) const override {
    if (options.precision != "fp32")
      return unavailable("the cpu backend computes in fp32; precision '{}' is not available here",
                         options.precision);
    std::vector<LayerReport> reports;
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      if (cancel::requested()) return cancelled();
      Node& node = graph.nodes[i];
      for (ValueId id : node.outputs)
        if (id != kNoValue && !graph.value(id).shape)
          return unavailable(
              "layer '{}' ({}): the shape of '{}' depends on the data, which the cpu backend cannot plan; "
              "build with --backend reference",
              node.name, op_name(node.op), graph.value(id).name);
      reports.push_back(choose(graph, node));
      if (options.progress)
        options.progress(static_cast<double>(i + 1) / static_cast<double>(graph.nodes.size()));
    }
    compact(graph);
    return reports;
  }

  Result<std::shared_ptr<const Program>> load(std::shared_ptr<const Graph> graph,
                                              const LoadOptions& options) const override {
    Isa isa = best_isa();
    if (!options.isa.empty()) {
      VTL_ASSIGN(isa, isa_from_name(options.isa));
    }
    return CpuProgram::create(std::move(graph), isa);
  }

 private:
  // The first entry that takes the node.
  static LayerReport choose(Graph& graph, Node& node) {
    LayerReport report;
    report.name = node.name;
    report.op = op_name(node.op);
    report.stage = node.stage;
    report.kernel = kReferenceKernel;
    report.precision = dtype_name(graph.value(node.outputs[0]).dtype);
    for (const KernelEntry& entry : entries()) {
      if (entry.op != node.op) continue;
      std::string reason = entry.refuse(graph, node);
      if (reason.empty()) {
        if (entry.prepare) entry.prepare(graph, node);
        report.kernel = entry.name;
        break;
      }
      report.refused.push_back({std::string(entry.name), std::move(reason)});
    }
    if (report.kernel == kReferenceKernel && report.refused.empty())
      report.refused.push_back({"cpu", fmt::format("no vector kernel for {}", report.op)});
    node.attributes["kernel"] = report.kernel;
    return report;
  }
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace vitrail
