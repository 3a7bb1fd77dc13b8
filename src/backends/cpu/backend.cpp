// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/backend.h"

#include <algorithm>

#include "backends/cpu/program.h"
#include "backends/cpu/quantize.h"
#include "backends/cpu/quantize_attention.h"
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
    VTL_TRY(check_precision(graph, options.precision));
    VTL_TRY(check_shapes(graph));
    quantize_attention(graph);
    fuse_quantizers(graph);
    std::vector<LayerReport> reports;
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      if (cancel::requested()) return cancelled();
      reports.push_back(choose(graph, graph.nodes[i]));
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
  static Status check_precision(const Graph& graph, const std::string& precision) {
    if (precision == "fp32") return {};
    if (precision != "int8")
      return unavailable(
          "the cpu backend computes in fp32, and in int8 where a model is quantized; precision "
          "'{}' is not available here",
          precision);
    const bool quantized =
        std::ranges::any_of(graph.nodes, [](const Node& node) { return node.op == Op::QuantizedLinear; });
    if (quantized) return {};
    return usage_error(
        "--precision int8: none of the model's {} layers is an integer product; give a model with Q/DQ pairs "
        "around its products, as `vitrail quantize` and ONNX Runtime's quantize_static write it",
        graph.nodes.size());
  }

  static Status check_shapes(const Graph& graph) {
    for (const Node& node : graph.nodes)
      for (ValueId id : node.outputs)
        if (id != kNoValue && !graph.value(id).shape)
          return unavailable(
              "layer '{}' ({}): the shape of '{}' depends on the data, which the cpu backend cannot plan; "
              "build with --backend reference",
              node.name, op_name(node.op), graph.value(id).name);
    return {};
  }

  // What a layer computes in, whatever it writes.
  static std::string_view precision_of(const Graph& graph, const Node& node) {
    const bool attends = node.op == Op::MultiHeadAttention && graph.value(node.input(0)).dtype == DType::kU8;
    if (node.op == Op::QuantizedLinear || attends) return dtype_name(DType::kI8);
    const bool writes_bytes = node.op != Op::QuantizeLinear && output_bytes(graph, node);
    return dtype_name(writes_bytes ? graph.value(node.input(0)).dtype : graph.value(node.outputs[0]).dtype);
  }

  // The first entry that takes the node.
  static LayerReport choose(Graph& graph, Node& node) {
    LayerReport report;
    report.name = node.name;
    report.op = op_name(node.op);
    report.stage = node.stage;
    report.kernel = kReferenceKernel;
    report.precision = precision_of(graph, node);
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
