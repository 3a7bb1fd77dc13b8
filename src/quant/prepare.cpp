// SPDX-License-Identifier: Apache-2.0
#include "quant/prepare.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "graph/edit.h"
#include "passes/match.h"

namespace vitrail::quant {
namespace {

constexpr int kWeightMost = 127;  // -128 is left out: symmetric, and no overflow in a negation
// Shares of the largest weight of a column that are tried as its range.
constexpr float kShares[] = {1.0f, 0.97f, 0.94f, 0.91f, 0.88f, 0.85f, 0.82f, 0.79f, 0.76f, 0.73f, 0.7f};

// To the nearest whole number, ties to even, for |v| < 2^22: in a form that compilers make vectors of.
float nearest(float v) { return (v + 12582912.0f) - 12582912.0f; }

float rounded(float v, float scale) {
  return std::clamp(nearest(v / scale), -float{kWeightMost}, float{kWeightMost});
}

// The scale of a column with the least weighted square error; no squares: all the same.
float column_scale(std::span<const float> column, const std::vector<float>& squares) {
  float largest = 0;
  for (float v : column) largest = std::max(largest, std::fabs(v));
  if (largest == 0) return 1;
  float best = 0, least = 0;
  for (float share : kShares) {
    const float scale = largest * share / kWeightMost, inverse = 1 / scale;
    float error = 0;
    for (size_t r = 0; r < column.size(); ++r) {
      const float level = std::min(std::max(column[r] * inverse, -float{kWeightMost}), float{kWeightMost});
      const float off = column[r] - nearest(level) * scale;
      error += off * off * squares[r];
    }
    if (best == 0 || error < least) least = error, best = scale;
  }
  return best;
}

// The columns of a [K][N] matrix, one after the other.
std::vector<float> columns_of(const std::vector<float>& matrix, size_t n) {
  std::vector<float> columns(matrix.size());
  const size_t k = matrix.size() / n;
  for (size_t r = 0; r < k; ++r)
    for (size_t c = 0; c < n; ++c) columns[c * k + r] = matrix[r * n + c];
  return columns;
}

std::vector<float> square_norms(const Graph& graph, const std::vector<const Product*>& readers, size_t k) {
  std::vector<float> norms(k);
  for (const Product* p : readers) {
    const std::vector<float> w = weight_matrix(graph, *p);
    const size_t n = w.size() / k;
    for (size_t i = 0; i < w.size(); ++i) norms[i / n] += w[i] * w[i];
  }
  return norms;
}

// Mean over the probe's rows of x·W - x̂·Ŵ, by output channel.
std::vector<float> mean_error(const std::vector<float>& matrix, const PreparedProduct& p, const Product& product,
                              const Probe& probe) {
  const auto k = static_cast<size_t>(product.depth), n = static_cast<size_t>(product.width);
  const double rows = static_cast<double>(probe.rows.size() / k);
  std::vector<double> exact(k), got(k), error(n);
  for (size_t i = 0; i < probe.rows.size(); ++i) {
    exact[i % k] += double{probe.rows[i]} / rows;
    got[i % k] += double{p.input.round_trip(probe.rows[i])} / rows;
  }
  const auto numbers = p.weight.as<int8_t>();
  const auto scale = p.scale.as<float>();
  for (size_t r = 0; r < k; ++r)
    for (size_t c = 0; c < n; ++c) {
      const float number = numbers[product.width_first ? c * k + r : r * n + c];
      error[c] += exact[r] * double{matrix[r * n + c]} - got[r] * double{number * scale[c]};
    }
  return {error.begin(), error.end()};
}

}  // namespace

ByteParams prepare_input(const Graph& graph, const std::vector<const Product*>& readers, const ValueStats& stats,
                         const Probe& probe, const RangeRule& rule) {
  const Range all{stats.low, stats.high};
  const size_t k = probe.channels;
  const bool fits =
      k > 0 && !probe.rows.empty() &&
      std::ranges::all_of(readers, [&](const Product* p) { return p->depth == static_cast<int64_t>(k); });
  if (rule.method != RangeMethod::kMse || !fits) return choose_params(stats.histogram, all, rule);
  const auto norms = square_norms(graph, readers, k);
  return byte_params(least_error_range(probe.rows, norms, all, rule.symmetric), rule.symmetric);
}

PreparedProduct prepare_product(const Graph& graph, const Product& product, const ByteParams& input,
                                const ValueStats& stats, const Probe& probe) {
  PreparedProduct p;
  p.input = input;
  const auto k = static_cast<size_t>(product.depth), n = static_cast<size_t>(product.width);
  const std::vector<float> matrix = weight_matrix(graph, product);
  const std::vector<float> columns = columns_of(matrix, n);
  std::vector<float> squares(k, 1.0f);
  if (stats.channel_low.size() == k) squares = mean_squares(probe, stats);
  p.scale = Tensor(DType::kF32, {product.width});
  p.weight = Tensor(DType::kI8, graph.constant(product.weight).shape());
  const auto scale = p.scale.as_mutable<float>();
  const auto numbers = p.weight.as_mutable<int8_t>();
  for (size_t c = 0; c < n; ++c) {
    const auto column = std::span(columns).subspan(c * k, k);
    scale[c] = column_scale(column, squares);
    for (size_t r = 0; r < k; ++r)
      numbers[product.width_first ? c * k + r : r * n + c] = static_cast<int8_t>(rounded(column[r], scale[c]));
  }
  if (product.bias_node && probe.channels == k && !probe.rows.empty())
    p.bias_correction = mean_error(matrix, p, product, probe);
  return p;
}

namespace {

// What insert_quantization() has made so far.
class Inserter {
 public:
  explicit Inserter(const Graph& graph) : graph_(graph) {}

  void add(const Product& product, const PreparedProduct& p) {
    const size_t index = product.node;
    const std::string name = graph_.nodes[index].name;
    const ValueId activation = activation_pair(product.input, index, p.input);
    const ValueId weight = product.weight == kNoValue ? activation_pair(product.right, index, p.right)
                                                      : dequantized_weight(product, p, name);
    graph_.nodes[index].inputs[0] = activation;
    graph_.nodes[index].inputs[1] = weight;
    if (product.bias_node && !p.bias_correction.empty()) correct_bias(product, p.bias_correction);
  }

  Graph finish() {
    insert_nodes(graph_, std::move(made_));
    return std::move(graph_);
  }

 private:
  // The pair stands in front of its first reader, node `at`.
  ValueId activation_pair(ValueId id, size_t at, const ByteParams& p) {
    const auto [it, is_new] = pairs_.try_emplace(id, kNoValue);
    if (!is_new) return it->second;
    const Value value = graph_.value(id);
    const ValueId scale = add_weight(graph_, value.name + ".scale", Tensor::f32({}, {p.scale}));
    const DType dtype = p.symmetric ? DType::kI8 : DType::kU8;
    Tensor zero(dtype, {});
    if (!p.symmetric) zero.as_mutable<uint8_t>()[0] = p.zero;
    const ValueId zero_point = add_weight(graph_, value.name + ".zero_point", std::move(zero));
    const ValueId numbers = add_intermediate(graph_, value.name + ".quantized", dtype, value.shape);
    it->second = add_intermediate(graph_, value.name + ".dequantized", DType::kF32, value.shape);
    made_.emplace_back(at, Node{Op::QuantizeLinear, value.name + ".quantize", {id, scale, zero_point},
                                {numbers}, {}, ""});
    made_.emplace_back(at, Node{Op::DequantizeLinear, value.name + ".dequantize", {numbers, scale, zero_point},
                                {it->second}, {}, ""});
    return it->second;
  }

  ValueId dequantized_weight(const Product& product, const PreparedProduct& p, const std::string& name) {
    const Value value = graph_.value(product.weight);
    const ValueId numbers = add_weight(graph_, value.name + ".quantized", p.weight);
    const ValueId scale = add_weight(graph_, value.name + ".scale", p.scale);
    const ValueId zero_point =
        add_weight(graph_, value.name + ".zero_point", Tensor(DType::kI8, {product.width}));
    const ValueId out = add_intermediate(graph_, value.name + ".dequantized", DType::kF32, value.shape);
    made_.emplace_back(product.node, Node{Op::DequantizeLinear, name + ".weight", {numbers, scale, zero_point},
                                          {out}, {{"axis", int64_t{product.width_first ? 0 : 1}}}, ""});
    return out;
  }

  void correct_bias(const Product& product, const std::vector<float>& correction) {
    Node& node = graph_.nodes[*product.bias_node];
    const auto width = static_cast<int64_t>(correction.size());
    const size_t at = node.op != Op::Add ? 2 : is_row_constant(graph_, node.input(0), width) ? 0 : 1;
    const Tensor& old = graph_.constant(node.input(at));
    Tensor bias = row_constant(old, width).clone();
    const auto values = bias.as_mutable<float>();
    for (size_t c = 0; c < values.size(); ++c) values[c] += correction[c];
    node.inputs[at] = add_weight(graph_, graph_.value(node.input(at)).name + ".corrected", std::move(bias));
  }

  Graph graph_;
  std::map<ValueId, ValueId> pairs_;
  std::vector<std::pair<size_t, Node>> made_;
};

}  // namespace

Graph insert_quantization(const Graph& graph, const ProductList& list, const std::vector<PreparedProduct>& prepared,
                          const std::vector<bool>& enabled) {
  Inserter inserter(graph);
  for (size_t i = 0; i < list.products.size(); ++i)
    if (enabled[i]) inserter.add(list.products[i], prepared[i]);
  return inserter.finish();
}

}  // namespace vitrail::quant
