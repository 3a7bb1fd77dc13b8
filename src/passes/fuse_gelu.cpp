// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_gelu.h"

#include <cmath>
#include <numbers>

#include "passes/match.h"

namespace vitrail {
namespace {

// A product, flattened: scalar × the other factors, through nested Mul and division by a scalar.
struct Product {
  double scalar = 1;
  std::vector<ValueId> factors;
};

void collect(const Matcher& match, ValueId id, int depth, Product& product) {
  if (auto s = match.scalar(id)) {
    product.scalar *= *s;
    return;
  }
  if (depth < 4) {
    if (const Node* mul = match.producer(id, Op::Mul)) {
      collect(match, mul->input(0), depth + 1, product);
      collect(match, mul->input(1), depth + 1, product);
      return;
    }
    if (const Node* div = match.producer(id, Op::Div)) {
      if (auto s = match.scalar(div->input(1))) {
        product.scalar /= *s;
        collect(match, div->input(0), depth + 1, product);
        return;
      }
    }
    if (const Node* pow = match.producer(id, Op::Pow); pow && match.is_scalar(pow->input(1), 3.0)) {
      product.factors.insert(product.factors.end(), 3, pow->input(0));
      return;
    }
  }
  product.factors.push_back(id);
}

Product product_of(const Matcher& match, ValueId id) {
  Product p;
  collect(match, id, 0, p);
  return p;
}

bool near(double value, double expected) { return std::abs(value - expected) <= 1e-3 * std::abs(expected); }

bool is_scaled(const Matcher& match, ValueId id, double scale, ValueId x, size_t power = 1) {
  const Product p = product_of(match, id);
  if (!near(p.scalar, scale) || p.factors.size() != power) return false;
  for (ValueId f : p.factors)
    if (f != x) return false;
  return true;
}

// √(2/π)·(x + 0.044715·x³)
bool is_tanh_argument(const Matcher& match, ValueId id, ValueId x) {
  const Product p = product_of(match, id);
  if (!near(p.scalar, std::sqrt(2 / std::numbers::pi)) || p.factors.size() != 1) return false;
  const Node* sum = match.producer(p.factors[0], Op::Add);
  if (!sum) return false;
  for (size_t i : {size_t{0}, size_t{1}})
    if (sum->input(i) == x && is_scaled(match, sum->input(1 - i), 0.044715, x, 3)) return true;
  return false;
}

// Which Gelu the product scalar·x·gate is; empty when it is none.
std::string recognise(const Matcher& match, double scalar, ValueId x, ValueId gate) {
  if (const Node* sigmoid = match.producer(gate, Op::Sigmoid))
    return near(scalar, 1) && is_scaled(match, sigmoid->input(0), 1.702, x) ? "quick" : "";
  const Node* add = match.producer(gate, Op::Add);
  if (!add || !near(scalar, 0.5)) return "";
  for (size_t i : {size_t{0}, size_t{1}}) {
    if (!match.is_scalar(add->input(i), 1.0)) continue;
    const ValueId inner = add->input(1 - i);
    if (const Node* erf = match.producer(inner, Op::Erf))
      return is_scaled(match, erf->input(0), std::numbers::sqrt2 / 2, x) ? "none" : "";
    if (const Node* tanh = match.producer(inner, Op::Tanh))
      return is_tanh_argument(match, tanh->input(0), x) ? "tanh" : "";
  }
  return "";
}

}  // namespace

int fuse_gelu(Graph& graph) {
  int fused = 0;
  const Matcher match(graph);
  for (Node& node : graph.nodes) {
    if (node.op != Op::Mul) continue;
    const Product p = product_of(match, node.outputs[0]);
    if (p.factors.size() != 2) continue;
    for (size_t i : {size_t{0}, size_t{1}}) {
      const std::string approximate = recognise(match, p.scalar, p.factors[i], p.factors[1 - i]);
      if (approximate.empty()) continue;
      node.op = Op::Gelu;
      node.inputs = {p.factors[i]};
      node.attributes = {{"approximate", approximate}};
      ++fused;
      break;
    }
  }
  return fused;
}

}  // namespace vitrail
