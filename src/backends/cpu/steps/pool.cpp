// SPDX-License-Identifier: Apache-2.0
// MaxPool and AveragePool over pictures.
#include <algorithm>
#include <limits>
#include <utility>

#include "backends/cpu/steps/steps.h"

namespace vitrail::cpu {
namespace {

int64_t at(const std::vector<int64_t>& list, size_t i, int64_t fallback) { return i < list.size() ? list[i] : fallback; }

// One axis: output o covers inputs o * stride - pad + t * dilation, of which those in [0, input) are there and those below
// `reach` count as padding.
struct PoolAxis {
  int64_t input, output, taps, stride, pad, dilation, reach;

  PoolAxis(const Graph& graph, const Node& node, size_t axis) {
    const auto pads = node.integers("pads");
    input = extent(graph, node.input(0), static_cast<int>(axis) + 2).fixed;
    output = extent(graph, node.outputs[0], static_cast<int>(axis) + 2).fixed;
    taps = node.integers("kernel_shape")[axis];
    stride = at(node.integers("strides"), axis, 1);
    dilation = at(node.integers("dilations"), axis, 1);
    pad = at(pads, axis, 0);
    reach = input + at(pads, axis + 2, 0);
  }
  // Taps of output o that lie below the limit.
  int64_t taps_below(int64_t o, int64_t limit) const {
    const int64_t start = o * stride - pad;
    return std::clamp<int64_t>(limit > start ? (limit - start + dilation - 1) / dilation : 0, 0, taps);
  }
  int64_t inside(int64_t o) const { return taps_below(o, input) - taps_below(o, 0); }
  int64_t counted(int64_t o) const { return taps_below(o, reach); }
  // Outputs whose tap t is an input.
  std::pair<int64_t, int64_t> outputs(int64_t t) const {
    const int64_t from = pad - t * dilation;  // o * stride >= from
    const int64_t first = std::clamp<int64_t>(from > 0 ? (from + stride - 1) / stride : 0, 0, output);
    const int64_t last = input + from > 0 ? std::clamp<int64_t>((input + from + stride - 1) / stride, first, output) : first;
    return {first, last};
  }
};

class PoolStep : public Step {
 public:
  PoolStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        y_(node.outputs[0]),
        planes_(*multiply(extent(graph, x_, 0), extent(graph, x_, 1))),
        rows_(graph, node, 0),
        columns_(graph, node, 1),
        max_(node.op == Op::MaxPool),
        counts_padding_(node.integer("count_include_pad", 0) != 0) {}

  Status run(const RunState& s) const override {
    const int64_t plane = rows_.input * columns_.input, pixels = rows_.output * columns_.output;
    s.pool.parallel_for(planes_.at(s.batch), [&](int64_t p, int) { pool(s.data(x_) + p * plane, s.data(y_) + p * pixels); });
    return {};
  }

 private:
  // One plane, a row of outputs at a time: each tap joins a run of them.
  void pool(const float* x, float* y) const {
    for (int64_t row = 0; row < rows_.output; ++row, y += columns_.output) {
      std::fill_n(y, columns_.output, max_ ? -std::numeric_limits<float>::infinity() : 0.0f);
      for (int64_t i = rows_.taps_below(row, 0); i < rows_.taps_below(row, rows_.input); ++i)
        for (int64_t j = 0; j < columns_.taps; ++j) {
          const auto [first, last] = columns_.outputs(j);
          const float* from = x + (row * rows_.stride - rows_.pad + i * rows_.dilation) * columns_.input;
          const int64_t shift = j * columns_.dilation - columns_.pad;
          for (int64_t o = first; o < last; ++o) {
            const float v = from[o * columns_.stride + shift];
            const float larger = v > y[o] ? v : y[o];
            y[o] = !max_ ? y[o] + v : v != v ? v : larger;
          }
        }
      for (int64_t o = 0; o < columns_.output && !max_; ++o)
        y[o] /= static_cast<float>(counts_padding_ ? rows_.counted(row) * columns_.counted(o) : rows_.inside(row) * columns_.inside(o));
    }
  }

  ValueId x_, y_;
  Dim planes_;
  PoolAxis rows_, columns_;
  bool max_, counts_padding_;
};

}  // namespace

std::string refuse_pool(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  const SymShape& in = *graph.value(node.input(0)).shape;
  if (in.size() != 4 || !std::all_of(in.begin() + 1, in.end(), [](Dim d) { return d.is_fixed(); }))
    return "not a 2-D image of fixed size";
  const std::string pad = node.text("auto_pad", "NOTSET");
  return pad == "NOTSET" || pad == "VALID" ? "" : fmt::format("auto_pad {}", pad);
}

std::unique_ptr<Step> make_pool(const Graph& graph, const Node& node) { return std::make_unique<PoolStep>(graph, node); }

}  // namespace vitrail::cpu
