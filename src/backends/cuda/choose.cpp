// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cuda/compile.h"
#include "backends/cuda/kernel_list.h"
#include "core/error.h"
#include "graph/linear_inputs.h"

namespace vitrail::cuda {
namespace {

constexpr char kBetween = '\t';  // kernel and reason in a note

void choose(const Graph& graph, Node& node, const Target& target) {
  std::vector<std::string> refused;
  std::string_view kernel = kHostKernel;
  for (const KernelEntry& entry : entries()) {
    if (entry.op != node.op) continue;
    const std::string reason = entry.refuse(graph, node, target);
    if (reason.empty()) {
      kernel = entry.name;
      break;
    }
    refused.push_back(std::string(entry.name) + kBetween + reason);
  }
  if (kernel == kHostKernel && refused.empty())
    refused.push_back(std::string("cuda") + kBetween + fmt::format("no kernel for {}", op_name(node.op)));
  node.attributes["kernel"] = std::string(kernel);
  if (!refused.empty()) node.attributes["refused"] = std::move(refused);
}

void send_to_host(Node& node, const std::string& reason) {
  node.attributes["refused"] = std::vector<std::string>{kernel_of(node) + kBetween + reason};
  node.attributes["kernel"] = std::string(kHostKernel);
}

// The s8 kernel reads u8 activations moved down by 128: possible when whoever makes and reads them moves
// along.
void check_shifts(Graph& graph) {
  const UseMap uses(graph);
  const auto moves = [&](int reader) {
    const Node& n = graph.nodes[static_cast<size_t>(reader)];
    return kernel_of(n) == "dequantize" || (n.op == Op::QuantizedLinear && !is_host(n));
  };
  for (Node& node : graph.nodes) {
    if (node.op != Op::QuantizedLinear || is_host(node)) continue;
    const ValueId x = node.input(0);
    if (graph.value(x).dtype != DType::kU8) continue;
    const int maker = uses.producer(x);
    if (maker < 0 || kernel_of(graph.nodes[static_cast<size_t>(maker)]) != "quantize" || uses.is_output(x) ||
        !std::all_of(uses.consumers(x).begin(), uses.consumers(x).end(), moves))
      send_to_host(node, "uint8 input is not made by a QuantizeLinear for integer products alone");
  }
}

}  // namespace

void choose_kernels(Graph& graph, const Target& target) {
  for (Node& node : graph.nodes) choose(graph, node, target);
  check_shifts(graph);
  const bool own = target.own_products();
  for (Node& node : graph.nodes) {
    if (kernel_of(node) == "patch_gemm")
      node.attributes["product"] = std::string(own ? "gemm_wgmma" : "cublaslt");
    if (target.precision.tf32 &&
        (node.op == Op::Linear || node.op == Op::PatchEmbed || node.op == Op::MatMul))
      node.attributes["tf32"] = int64_t{1};
  }
}

std::vector<LayerReport> make_reports(Graph& graph) {
  std::vector<LayerReport> reports;
  for (Node& node : graph.nodes) {
    LayerReport report;
    report.name = node.name;
    report.op = op_name(node.op);
    report.stage = node.stage;
    report.kernel = kernel_of(node);
    // Of its products; what attention hands on may be rounded further.
    const ValueId typed = node.op == Op::MultiHeadAttention ? node.input(0) : node.outputs[0];
    report.precision = node.text("type", std::string(dtype_name(graph.value(typed).dtype)));
    if (const auto notes = node.attributes.find("refused"); notes != node.attributes.end()) {
      for (const std::string& note : std::get<std::vector<std::string>>(notes->second)) {
        const size_t at = note.find(kBetween);
        report.refused.push_back({note.substr(0, at), note.substr(at + 1)});
      }
      node.attributes.erase(notes);
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace vitrail::cuda
