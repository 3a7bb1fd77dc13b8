// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/fold_norm.h"

#include <algorithm>
#include <map>

#include "backends/cuda/compile.h"
#include "backends/cuda/kernel_list.h"
#include "core/error.h"
#include "graph/edit.h"
#include "graph/linear_inputs.h"

namespace vitrail::cuda {

FoldedNorm fold_norm(const Tensor& weight, std::span<const float> gamma, std::span<const float> beta,
                     std::span<const float> bias) {
  const auto k = static_cast<size_t>(weight.dim(0)), n = static_cast<size_t>(weight.dim(1));
  const auto w = weight.as<float>();
  std::vector<double> scaled(k * n), mean(n), shift(n);
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j < n; ++j) {
      const double v = static_cast<double>(w[i * n + j]);
      scaled[i * n + j] = gamma.empty() ? v : v * static_cast<double>(gamma[i]);
      mean[j] += scaled[i * n + j];
      if (!beta.empty()) shift[j] += v * static_cast<double>(beta[i]);
    }
  FoldedNorm folded{Tensor(DType::kF32, weight.shape()), Tensor(DType::kF32, {weight.dim(1)})};
  auto out = folded.weight.as_mutable<float>();
  for (size_t i = 0; i < k * n; ++i)
    out[i] = static_cast<float>(scaled[i] - mean[i % n] / static_cast<double>(k));
  for (size_t j = 0; j < n; ++j)
    folded.bias.as_mutable<float>()[j] =
        static_cast<float>(shift[j] + (bias.empty() ? 0.0 : static_cast<double>(bias[j])));
  return folded;
}

namespace {

class NormFolder {
 public:
  explicit NormFolder(Graph& graph) : graph_(graph), uses_(graph) {}

  int run() {
    std::vector<bool> dead(graph_.nodes.size());
    int folded = 0;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (kernel_of(graph_.nodes[i]) != "layer_norm") continue;
      const std::string reason = refuse(graph_.nodes[i]);
      if (!reason.empty()) {
        graph_.nodes[i].attributes["refused"] = std::vector<std::string>{"folded\t" + reason};
        continue;
      }
      fold(i);
      dead[i] = true;
      ++folded;
    }
    remove_nodes(graph_, dead);
    // The indices of added_ are those before the removal.
    size_t gone = 0, at = 0;
    std::vector<size_t> moved(dead.size() + 1);
    for (; at < dead.size(); ++at) moved[at] = at - gone, gone += dead[at];
    moved[at] = at - gone;
    for (auto& [index, node] : added_) index = moved[index];
    insert_nodes(graph_, std::move(added_));
    return folded;
  }

 private:
  std::string refuse(const Node& norm) const {
    const ValueId y = norm.outputs[0];
    for (size_t i = 1; i < 3; ++i)
      if (norm.input(i) != kNoValue && !graph_.is_constant(norm.input(i)))
        return "scale or bias is not a constant";
    if (uses_.is_output(y)) return "its result is an output of the model";
    if (uses_.consumers(y).empty()) return "nothing reads it";
    for (int reader : uses_.consumers(y)) {
      const Node& n = graph_.nodes[static_cast<size_t>(reader)];
      if (n.op != Op::Linear || kernel_of(n) != "gemm_wgmma" || n.input(0) != y ||
          std::count(n.inputs.begin(), n.inputs.end(), y) != 1)
        return fmt::format("read by '{}' ({}), which is not a gemm_wgmma product of it", n.name,
                           op_name(n.op));
    }
    return "";
  }

  std::vector<float> row(ValueId id) const {
    if (id == kNoValue) return {};
    const Tensor t = to_float32(graph_.constant(id));
    return {t.as<float>().begin(), t.as<float>().end()};
  }

  void fold(size_t i) {
    const Node norm = graph_.nodes[i];
    const auto gamma = row(norm.input(1)), beta = row(norm.input(2));
    const ValueId stats = stats_of(norm.input(0), i);
    for (int reader : uses_.consumers(norm.outputs[0])) {
      Node& linear = graph_.nodes[static_cast<size_t>(reader)];
      linear.inputs.resize(6, kNoValue);
      FoldedNorm folded =
          fold_norm(to_float32(graph_.constant(linear.input(1))), gamma, beta, row(linear.input(2)));
      const std::string name = graph_.value(linear.input(1)).name;
      const ValueId weight = add_weight(graph_, name + ".normed", std::move(folded.weight));
      const ValueId bias = add_weight(graph_, name + ".shift", std::move(folded.bias));
      linear.inputs = {norm.input(0), weight, bias, linear.inputs[3], stats, linear.inputs[5]};
      linear.attributes["ln_fold"] = int64_t{1};
      linear.attributes["epsilon"] = norm.real("epsilon", 1e-5f);
    }
  }

  // The statistics of x's rows: from the product that makes x where there is one, else a pass over x.
  ValueId stats_of(ValueId x, size_t before) {
    const auto [known, is_new] = stats_.try_emplace(x, kNoValue);
    if (!is_new) return known->second;
    SymShape shape = *graph_.value(x).shape;
    shape.back() = Dim::of((shape.back().fixed + kStatsColumns - 1) / kStatsColumns * 2);
    const ValueId stats = add_intermediate(graph_, graph_.value(x).name + ".stats", DType::kF32, shape);
    const int maker = uses_.producer(x);
    Node* product = maker < 0 ? nullptr : &graph_.nodes[static_cast<size_t>(maker)];
    const bool own = product &&
                     (kernel_of(*product) == "gemm_wgmma" || product->text("product", "") == "gemm_wgmma") &&
                     !uses_.is_output(x);
    if (own) {
      product->outputs.resize(2, kNoValue);
      product->outputs[1] = stats;
    } else {
      Node node;
      node.op = Op::RowStats;
      node.name = graph_.nodes[before].name + ".stats";
      node.stage = graph_.nodes[before].stage;
      node.inputs = {x};
      node.outputs = {stats};
      node.attributes["kernel"] = std::string("row_stats");
      added_.push_back({maker < 0 ? 0 : static_cast<size_t>(maker) + 1, std::move(node)});
    }
    return known->second = stats;
  }

  Graph& graph_;
  UseMap uses_;
  std::map<ValueId, ValueId> stats_;
  std::vector<std::pair<size_t, Node>> added_;
};

}  // namespace

int fold_norms(Graph& graph, const Target& target) {
  return target.own_products() ? NormFolder(graph).run() : 0;
}

}  // namespace vitrail::cuda
