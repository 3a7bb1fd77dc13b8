// SPDX-License-Identifier: Apache-2.0
#include "backends/reference/scratch.h"

#include <algorithm>

#include "backends/reference/multiply.h"

namespace vitrail::reference {
namespace {

constexpr int64_t kWord = 8;  // doubles and offsets

int64_t product(const Shape& shape, size_t first) {
  int64_t n = 1;
  for (size_t i = first; i < shape.size(); ++i) n *= shape[i];
  return n;
}

// Doubles and offsets that the kernel keeps.
int64_t words(const Node& node, const std::vector<Shape>& in, const Shape& out, int threads) {
  switch (node.op) {
    case Op::MatMul:
    case Op::Linear:
    case Op::QuantizedLinear:
      return threads * multiply_scratch(in[0].empty() ? 1 : in[0].back());
    case Op::Gemm:
      return threads * multiply_scratch(in[0][node.integer("transA", 0) != 0 ? 0 : 1]);
    case Op::PatchEmbed:
      return threads * multiply_scratch(product(in[1], 1));
    case Op::Conv:
      return threads * multiply_scratch(product(in[1], 1)) + product(in[1], 2) * product(out, 2);
    case Op::ConvTranspose:
      return multiply_scratch(in[1][0]) + product(in[1], 2) * product(in[0], 2) + product(out, 1);
    case Op::MultiHeadAttention: {
      const int64_t keys = in[1][1];
      return kBlock * keys + multiply_scratch(std::max(keys, node.integer("head_dim", 1)));
    }
    case Op::Resize: {
      // Two images at once, each at most as large as input or output along every axis.
      int64_t widest = 1;
      for (size_t i = 0; i < out.size(); ++i) widest *= std::max(in[0][i], out[i]);
      return 2 * widest;
    }
    case Op::ReduceL2:
    case Op::ReduceMax:
    case Op::ReduceMean:
    case Op::ReduceMin:
    case Op::ReduceProd:
    case Op::ReduceSum:
    case Op::ReduceSumSquare:
      return product(out, 0);
    default: {  // one table an axis, where the operator moves data
      int64_t sum = 0;
      for (int64_t d : out) sum += d;
      return sum;
    }
  }
}

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

}  // namespace

int64_t scratch_bytes(const Graph& graph, const Node& node, int64_t batch, int threads) {
  std::vector<Shape> shapes;
  int64_t widened = 0;  // float32 copies of 16-bit operands
  auto read = [&](ValueId id) {
    shapes.emplace_back();
    if (id == kNoValue) return true;
    const Value& value = graph.value(id);
    if (!value.shape) return false;
    shapes.back() = at_batch(*value.shape, batch);
    if (is_half(value.dtype)) widened += 4 * product(shapes.back(), 0);
    return true;
  };
  for (ValueId id : node.inputs)
    if (!read(id)) return 0;
  if (node.outputs.empty() || !read(node.outputs[0])) return 0;
  return widened + kWord * words(node, shapes, shapes.back(), threads);
}

}  // namespace vitrail::reference
