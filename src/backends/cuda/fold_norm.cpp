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

void fold_norm(const NormedWeight& normed, int64_t first, int64_t count, float* out, float* bias) {
  const auto columns = static_cast<size_t>(count);
  std::vector<double> mean(columns), shift(columns);
  const auto row = [&](int64_t i) { return normed.weight + i * normed.n + first; };
  const auto factor = [](std::span<const float> list, int64_t i, double fallback) {
    return list.empty() ? fallback : static_cast<double>(list[static_cast<size_t>(i)]);
  };
  for (int64_t i = 0; i < normed.k; ++i) {
    const float* w = row(i);
    const double gamma = factor(normed.gamma, i, 1), beta = factor(normed.beta, i, 0);
    for (size_t j = 0; j < columns; ++j) {
      mean[j] += static_cast<double>(w[j]) * gamma;
      shift[j] += static_cast<double>(w[j]) * beta;
    }
  }
  for (double& m : mean) m /= static_cast<double>(normed.k);
  for (int64_t i = 0; i < normed.k; ++i) {
    const float* w = row(i);
    float* to = out + i * count;
    const double gamma = factor(normed.gamma, i, 1);
    for (size_t j = 0; j < columns; ++j) to[j] = static_cast<float>(static_cast<double>(w[j]) * gamma - mean[j]);
  }
  for (size_t j = 0; j < columns; ++j)
    bias[j] = static_cast<float>(shift[j] + factor(normed.bias, first + static_cast<int64_t>(j), 0));
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
    return refuse_readers(y);
  }

  // Products of y, or of y under another shape with the same rows.
  std::string refuse_readers(ValueId y) const {
    if (uses_.is_output(y)) return "its result is an output of the model";
    if (uses_.consumers(y).empty()) return "nothing reads it";
    for (int reader : uses_.consumers(y)) {
      const Node& n = graph_.nodes[static_cast<size_t>(reader)];
      if (is_view(n) && n.input(0) == y && keeps_rows(y, n.outputs[0])) {
        if (std::string reason = refuse_readers(n.outputs[0]); !reason.empty()) return reason;
        continue;
      }
      if (n.op != Op::Linear || kernel_of(n) != "gemm_wgmma" || n.input(0) != y ||
          std::count(n.inputs.begin(), n.inputs.end(), y) != 1)
        return fmt::format("read by '{}' ({}), which is not a gemm_wgmma product of it", n.name,
                           op_name(n.op));
    }
    return "";
  }

  bool keeps_rows(ValueId a, ValueId b) const {
    const auto &x = graph_.value(a).shape, &y = graph_.value(b).shape;
    return x && y && !x->empty() && !y->empty() && x->back() == y->back();
  }

  // The weights follow in pack_weights(), which has to touch each of them anyway.
  void fold(size_t i) {
    const Node norm = graph_.nodes[i];
    take_over(norm, norm.outputs[0], norm.input(0), stats_of(norm.input(0), i));
  }

  // The readers of y, which is the norm's result, read x instead.
  void take_over(const Node& norm, ValueId y, ValueId x, ValueId stats) {
    for (int reader : uses_.consumers(y)) {
      Node& node = graph_.nodes[static_cast<size_t>(reader)];
      node.inputs[0] = x;
      if (is_view(node)) {
        // A new value: under the old one's name `verify` would expect the norm's result.
        const ValueId viewed = node.outputs[0];
        const Value copy = graph_.value(viewed);
        const ValueId view = add_intermediate(graph_, copy.name + ".before_norm", copy.dtype, copy.shape);
        node.outputs[0] = view;
        take_over(norm, viewed, view, stats);
        continue;
      }
      node.inputs.resize(6, kNoValue);
      node.inputs[4] = stats;
      node.attributes["ln_fold"] = int64_t{1};
      node.attributes["epsilon"] = norm.real("epsilon", 1e-5f);
      if (norm.input(1) != kNoValue) node.attributes[kFoldedScale] = to_float32(graph_.constant(norm.input(1)));
      if (norm.input(2) != kNoValue) node.attributes[kFoldedBias] = to_float32(graph_.constant(norm.input(2)));
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
