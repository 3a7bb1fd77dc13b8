// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_matmul_integer.h"

#include <algorithm>

#include "graph/edit.h"
#include "passes/match.h"

namespace vitrail {
namespace {

constexpr int64_t kFloat32 = 1;  // TensorProto.DataType

struct IntegerProduct {
  ValueId numbers = kNoValue;  // int8 or uint8
  ValueId zero = kNoValue;     // int32, one element; kNoValue: 0
  ValueId matrix = kNoValue;   // int32 [K,N], each element in the range of int8
};

bool is_byte(DType t) { return t == DType::kI8 || t == DType::kU8; }

bool has_one_element(const Graph& graph, ValueId id) {
  const auto& shape = graph.value(id).shape;
  return shape && is_fixed(*shape) && element_count(at_batch(*shape, 1)) == 1;
}

// The 8-bit numbers that a Cast widens.
ValueId widened(const Graph& graph, const Matcher& match, ValueId id) {
  const Node* cast = match.producer(id, Op::Cast);
  return cast && is_byte(graph.value(cast->input(0)).dtype) ? cast->input(0) : kNoValue;
}

std::optional<IntegerProduct> match_product(const Graph& graph, const Matcher& match, const Node& node) {
  IntegerProduct p;
  p.matrix = node.input(1);
  if (node.op != Op::MatMul || !graph.is_constant(p.matrix) || graph.value(p.matrix).dtype != DType::kI32 ||
      graph.constant(p.matrix).rank() != 2)
    return std::nullopt;
  const auto numbers = graph.constant(p.matrix).as<int32_t>();
  if (!std::ranges::all_of(numbers, [](int32_t v) { return v >= INT8_MIN && v <= INT8_MAX; })) return std::nullopt;
  ValueId left = node.input(0);
  if (const Node* centred = match.producer(left, Op::Sub)) {
    left = centred->input(0);
    p.zero = centred->input(1);
    if (!has_one_element(graph, p.zero)) return std::nullopt;
  }
  p.numbers = widened(graph, match, left);
  if (p.numbers == kNoValue) return std::nullopt;
  return p;
}

Tensor as_int8(const Tensor& matrix) {
  Tensor out(DType::kI8, matrix.shape());
  std::ranges::transform(matrix.as<int32_t>(), out.as_mutable<int8_t>().begin(),
                         [](int32_t v) { return static_cast<int8_t>(v); });
  return out;
}

Tensor column_sums(const Tensor& matrix) {
  const auto columns = static_cast<size_t>(matrix.dim(1));
  Tensor out(DType::kF32, {matrix.dim(1)});
  std::vector<int64_t> sums(columns);
  const auto numbers = matrix.as<int32_t>();
  for (size_t i = 0; i < numbers.size(); ++i) sums[i % columns] += numbers[i];
  std::ranges::transform(sums, out.as_mutable<float>().begin(), [](int64_t v) { return static_cast<float>(v); });
  return out;
}

Tensor ones(int64_t count) {
  Tensor out(DType::kF32, {count});
  std::ranges::fill(out.as_mutable<float>(), 1.0f);
  return out;
}

class Fuser {
 public:
  explicit Fuser(Graph& graph) : graph_(graph), match_(graph) {}

  int run() {
    int fused = 0;
    for (index_ = 0; index_ < graph_.nodes.size(); ++index_) fused += try_fuse();
    insert_nodes(graph_, std::move(added_));
    remove_dead_nodes(graph_);
    return fused;
  }

 private:
  bool try_fuse() {
    const Node& cast = graph_.nodes[index_];
    if (cast.op != Op::Cast || graph_.value(cast.outputs[0]).dtype != DType::kF32) return false;
    const Node* product = match_.producer(cast.input(0), Op::MatMul);
    if (!product || !match_.single_use(cast.input(0))) return false;
    const auto found = match_product(graph_, match_, *product);
    if (!found) return false;

    const std::string name = product->name;
    const Tensor matrix = graph_.constant(found->matrix);
    Node linear{Op::QuantizedLinear, name, {}, {}, {}, ""};
    linear.inputs = {found->numbers, add_weight(graph_, name + ".matrix", as_int8(matrix)),
                     add_weight(graph_, name + ".scale", ones(matrix.dim(1)))};
    linear.attributes = {{"x_scale", 1.0f}, {"x_zero_point", zero_point(*found)}};
    if (found->zero == kNoValue || graph_.is_constant(found->zero)) {
      linear.outputs = graph_.nodes[index_].outputs;
      graph_.nodes[index_] = std::move(linear);
      return true;
    }
    subtract_shift(name, std::move(linear), *found, matrix);
    return true;
  }

  // The zero point of the sum: the one that is known, else the middle of the type.
  int64_t zero_point(const IntegerProduct& p) const {
    if (p.zero == kNoValue) return 0;
    if (graph_.is_constant(p.zero)) return graph_.constant(p.zero).as<int32_t>()[0];
    return graph_.value(p.numbers).dtype == DType::kU8 ? 128 : 0;
  }

  void subtract_shift(const std::string& name, Node linear, const IntegerProduct& p, const Tensor& matrix) {
    const auto shape = graph_.value(graph_.nodes[index_].outputs[0]).shape;
    const auto middle = static_cast<float>(linear.integer("x_zero_point", 0));
    const ValueId sums = add_intermediate(graph_, name + ".sums", DType::kF32, shape);
    linear.outputs = {sums};
    added_.emplace_back(index_, std::move(linear));
    const ValueId zero = step(name + ".zero", Op::Cast, {p.zero}, graph_.value(p.zero).shape, {{"to", kFloat32}});
    const ValueId shift =
        step(name + ".shift", Op::Sub, {zero, add_weight(graph_, name + ".middle", Tensor::f32({1}, {middle}))},
             SymShape{Dim::of(1)});
    const ValueId columns = add_weight(graph_, name + ".columns", column_sums(matrix));
    const ValueId part = step(name + ".part", Op::Mul, {columns, shift}, SymShape{Dim::of(matrix.dim(1))});
    Node& cast = graph_.nodes[index_];
    cast = Node{Op::Sub, name + ".less_part", {sums, part}, cast.outputs, {}, ""};
  }

  ValueId step(const std::string& name, Op op, std::vector<ValueId> inputs, std::optional<SymShape> shape,
               std::map<std::string, Attribute, std::less<>> attributes = {}) {
    const ValueId out = add_intermediate(graph_, name, DType::kF32, std::move(shape));
    added_.emplace_back(index_, Node{op, name, std::move(inputs), {out}, std::move(attributes), ""});
    return out;
  }

  Graph& graph_;
  Matcher match_;
  size_t index_ = 0;
  std::vector<std::pair<size_t, Node>> added_;
};

}  // namespace

int fuse_matmul_integer(Graph& graph) { return Fuser(graph).run(); }

}  // namespace vitrail
