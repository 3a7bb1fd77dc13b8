// SPDX-License-Identifier: Apache-2.0
#include "quant/smooth.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/edit.h"

namespace vitrail::quant {
namespace {

constexpr double kExponents[] = {0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
constexpr float kMostFactor = 1e4f;  // either way: a channel that is never used would get any factor

// What the search needs of all products that read one value, [K] each.
struct Weights {
  std::vector<std::vector<float>> matrices;  // [K][N]
  std::vector<size_t> widths;
  std::vector<float> largest;       // of a row over all matrices
  std::vector<double> square_norm;  // of a row over all matrices
};

Weights weights_of(const Graph& graph, const SmoothPair& pair, const ProductList& list, size_t k) {
  Weights w;
  w.largest.resize(k);
  w.square_norm.resize(k);
  for (size_t p : pair.products) {
    w.matrices.push_back(weight_matrix(graph, list.products[p]));
    const auto n = static_cast<size_t>(list.products[p].width);
    w.widths.push_back(n);
    for (size_t r = 0; r < k; ++r)
      for (size_t c = 0; c < n; ++c) {
        const float v = w.matrices.back()[r * n + c];
        w.largest[r] = std::max(w.largest[r], std::fabs(v));
        w.square_norm[r] += double{v} * v;
      }
  }
  return w;
}

std::vector<float> factors(const ValueStats& stats, const Weights& w, double a) {
  std::vector<float> s(w.largest.size(), 1.0f);
  if (a == 0) return s;
  for (size_t k = 0; k < s.size(); ++k) {
    const double x = std::max(std::fabs(stats.channel_low[k]), std::fabs(stats.channel_high[k]));
    if (x <= 0 || w.largest[k] <= 0) continue;
    s[k] = std::clamp(static_cast<float>(std::pow(x, a) / std::pow(double{w.largest[k]}, 1 - a)), 1 / kMostFactor,
                      kMostFactor);
  }
  return s;
}

double expected_error(const ValueStats& stats, const Weights& w, const std::vector<float>& squares,
                      const std::vector<float>& s) {
  double low = 0, high = 0, input = 0, weight = 0, energy = 0;
  for (size_t k = 0; k < s.size(); ++k) {
    low = std::min(low, double{stats.channel_low[k]} / s[k]);
    high = std::max(high, double{stats.channel_high[k]} / s[k]);
    input += w.square_norm[k] * s[k] * s[k];
    energy += double{squares[k]} / s[k] / s[k];
  }
  const double step = (high - low) / 255;
  for (size_t m = 0; m < w.matrices.size(); ++m) {
    std::vector<float> largest(w.widths[m]);
    for (size_t k = 0; k < s.size(); ++k)
      for (size_t c = 0; c < largest.size(); ++c)
        largest[c] = std::max(largest[c], std::fabs(w.matrices[m][k * largest.size() + c]) * s[k]);
    for (float v : largest) weight += double{v} / 127 * v / 127;
  }
  return (step * step * input + weight * energy) / 12;
}

void scale_row_constant(Graph& graph, Node& node, size_t input, const std::vector<float>& s) {
  if (node.input(input) == kNoValue) return;
  Tensor scaled = graph.constant(node.input(input)).clone();
  const auto values = scaled.as_mutable<float>();
  for (size_t k = 0; k < s.size(); ++k) values[k] /= s[k];
  node.inputs[input] = add_weight(graph, graph.value(node.input(input)).name + ".smooth", std::move(scaled));
}

void scale_weight(Graph& graph, const Product& product, const std::vector<float>& s) {
  Node& node = graph.nodes[product.node];
  Tensor scaled = graph.constant(node.input(1)).clone();
  const auto values = scaled.as_mutable<float>();
  const auto n = static_cast<size_t>(product.width);
  for (size_t i = 0; i < values.size(); ++i) values[i] *= s[product.width_first ? i % s.size() : i / n];
  node.inputs[1] = add_weight(graph, graph.value(node.input(1)).name + ".smooth", std::move(scaled));
}

}  // namespace

std::vector<SmoothPair> find_smooth_pairs(const Graph& graph, const ProductList& list) {
  std::vector<SmoothPair> pairs;
  const UseMap uses(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& norm = graph.nodes[i];
    if (norm.op != Op::LayerNormalization || norm.outputs.size() != 1 || uses.is_output(norm.outputs[0])) continue;
    SmoothPair pair{i, norm.outputs[0], {}};
    bool all = graph.is_constant(norm.input(1)) && graph.constant(norm.input(1)).rank() == 1 &&
               (norm.input(2) == kNoValue ||
                (graph.is_constant(norm.input(2)) && graph.constant(norm.input(2)).rank() == 1));
    for (int reader : uses.consumers(pair.value)) {
      const auto it = std::ranges::find_if(list.products, [&](const Product& p) {
        return p.node == static_cast<size_t>(reader) && p.input == pair.value &&
               graph.nodes[p.node].op != Op::Conv && p.depth == graph.constant(norm.input(1)).count();
      });
      if (it == list.products.end()) {
        all = false;
        break;
      }
      pair.products.push_back(static_cast<size_t>(it - list.products.begin()));
    }
    if (all && !pair.products.empty()) pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::vector<float> mean_squares(const Probe& probe, const ValueStats& stats) {
  const size_t k = stats.channel_low.size();
  std::vector<float> squares(k);
  if (probe.channels == k && !probe.rows.empty()) {
    std::vector<double> sums(k);
    for (size_t i = 0; i < probe.rows.size(); ++i) sums[i % k] += double{probe.rows[i]} * probe.rows[i];
    const double rows = static_cast<double>(probe.rows.size() / k);
    for (size_t c = 0; c < k; ++c) squares[c] = static_cast<float>(sums[c] / rows);
    return squares;
  }
  for (size_t c = 0; c < k; ++c) {
    const float low = stats.channel_low[c], high = stats.channel_high[c];
    squares[c] = (low * low + low * high + high * high) / 3;
  }
  return squares;
}

double smooth(Graph& graph, const SmoothPair& pair, const ProductList& list, ValueStats& stats, Probe& probe) {
  const size_t k = stats.channel_low.size();
  Node& norm = graph.nodes[pair.norm];
  if (k == 0 || static_cast<int64_t>(k) != graph.constant(norm.input(1)).count()) return 0;
  const Weights weights = weights_of(graph, pair, list, k);
  const std::vector<float> squares = mean_squares(probe, stats);
  double best = 0, least = std::numeric_limits<double>::infinity();
  for (double a : kExponents)
    if (const double e = expected_error(stats, weights, squares, factors(stats, weights, a)); e < least)
      least = e, best = a;
  if (best == 0) return 0;

  const std::vector<float> s = factors(stats, weights, best);
  scale_row_constant(graph, norm, 1, s);
  scale_row_constant(graph, norm, 2, s);
  for (size_t p : pair.products) scale_weight(graph, list.products[p], s);
  stats.low = stats.high = 0;
  for (size_t c = 0; c < k; ++c) {
    stats.channel_low[c] /= s[c];
    stats.channel_high[c] /= s[c];
    stats.low = std::min(stats.low, stats.channel_low[c]);
    stats.high = std::max(stats.high, stats.channel_high[c]);
  }
  stats.histogram = Histogram();  // of no use any more: it does not tell channels apart
  for (size_t i = 0; i < probe.rows.size(); ++i) probe.rows[i] /= s[i % k];
  stats.histogram.add(probe.rows);
  return best;
}

}  // namespace vitrail::quant
