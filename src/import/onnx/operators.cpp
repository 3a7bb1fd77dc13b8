// SPDX-License-Identifier: Apache-2.0
#include "import/onnx/operators.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "core/error.h"
#include "import/onnx/attributes.h"
#include "import/onnx/model_file.h"
#include "import/onnx/node_order.h"
#include "import/onnx/restate.h"

namespace vitrail::onnx_import {
namespace {

struct Unknown {
  std::string first_layer;
  int count = 0;
  bool control_flow = false;
};

bool has_graph(const onnx::NodeProto& node) { return std::ranges::any_of(node.attribute(), holds_graph); }

int64_t domain_version(const onnx::ModelProto& model, const std::string& domain, int64_t opset) {
  if (is_default_domain(domain)) return opset;
  for (const auto& import : model.opset_import())
    if (import.domain() == domain) return import.version();
  return 0;
}

}  // namespace

bool is_branch(const onnx::NodeProto& node) {
  return is_default_domain(node.domain()) && node.op_type() == "If";
}

std::optional<Op> find_operator(const onnx::NodeProto& node) {
  if (!is_default_domain(node.domain())) return std::nullopt;
  const std::optional<Op> op = op_from_name(node.op_type());
  const bool made_by_passes = op == Op::Linear || op == Op::MultiHeadAttention || op == Op::PatchEmbed ||
                              op == Op::QuantizedLinear || op == Op::RowStats || op == Op::Plan;
  return made_by_passes ? std::nullopt : op;
}

Status check_operators(std::span<const onnx::NodeProto* const> nodes, const onnx::ModelProto& model,
                       int64_t opset) {
  std::map<std::pair<std::string, std::string>, Unknown> unknown;  // by domain and operator
  for (const onnx::NodeProto* node : nodes) {
    const bool known =
        find_operator(*node) || (is_default_domain(node->domain()) && is_restated(node->op_type()));
    if ((known && !has_graph(*node)) || is_branch(*node)) continue;
    const std::string domain = is_default_domain(node->domain()) ? "ai.onnx" : node->domain();
    Unknown& row = unknown[{domain, node->op_type()}];
    if (row.count++ == 0) row.first_layer = layer_name(*node);
    row.control_flow |= has_graph(*node);
  }
  if (unknown.empty()) return {};

  std::string message = fmt::format("uses {} operator{} that Vitrail does not know:", unknown.size(),
                                    unknown.size() == 1 ? "" : "s");
  bool control_flow = false, from_onnxruntime = false;
  for (const auto& [key, row] : unknown) {
    const auto& [domain, op] = key;
    message += fmt::format("\n  {} (domain {}, opset {}): {} layer{}, the first is '{}'", op, domain,
                           domain_version(model, domain, opset), row.count, row.count == 1 ? "" : "s",
                           row.first_layer);
    control_flow |= row.control_flow;
    from_onnxruntime |= domain.starts_with("com.microsoft");
  }
  if (control_flow)
    message +=
        "\nLayers that hold graphs (Loop, Scan) are not supported: export with fixed sizes, or fold them "
        "away with onnxsim or torch.onnx.export(…, do_constant_folding=True).";
  if (from_onnxruntime)
    message +=
        "\nThe com.microsoft operators come from ONNX Runtime's optimizer: give the model from before it "
        "ran.";
  message +=
      "\nSimplify the model (onnxsim) or export it with the other exporter or another opset (17 with "
      "dynamo=False, 20 with dynamo=True); if that does not help, file an issue with what `vitrail inspect` "
      "prints.";
  return bad_input("{}", message);
}

}  // namespace vitrail::onnx_import
