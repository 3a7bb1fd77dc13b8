// SPDX-License-Identifier: Apache-2.0
// Convolutions and resizing: what heads and decoders are made of.
#include <algorithm>

#include "backends/cpu/kernels/depthwise.h"
#include "backends/cpu/steps/steps.h"
#include "graph/edit.h"

namespace vitrail::cpu {
namespace {

int64_t at(const std::vector<int64_t>& list, size_t i, int64_t fallback) {
  return i < list.size() ? list[i] : fallback;
}

ConvArgs conv_args(const Graph& graph, const Node& node) {
  const auto strides = node.integers("strides"), pads = node.integers("pads"),
             dilations = node.integers("dilations");
  const ValueId x = node.input(0), y = node.outputs[0], w = node.input(1);
  ConvArgs args{};
  args.in_channels = extent(graph, x, 1).fixed;
  args.out_channels = extent(graph, y, 1).fixed;
  args.groups = node.integer("group", 1);
  args.height = extent(graph, x, 2).fixed;
  args.width = extent(graph, x, 3).fixed;
  args.out_height = extent(graph, y, 2).fixed;
  args.out_width = extent(graph, y, 3).fixed;
  args.kh = extent(graph, w, 2).fixed;
  args.kw = extent(graph, w, 3).fixed;
  args.sh = at(strides, 0, 1);
  args.sw = at(strides, 1, 1);
  args.pad_top = at(pads, 0, 0);
  args.pad_left = at(pads, 1, 0);
  args.dh = at(dilations, 0, 1);
  args.dw = at(dilations, 1, 1);
  return args;
}

class ConvStep : public Step {
 public:
  ConvStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        weight_(node.input(1)),
        bias_(node.input(2)),
        y_(node.outputs[0]),
        images_(extent(graph, x_, 0)),
        transposed_(node.op == Op::ConvTranspose),
        args_(conv_args(graph, node)) {}

  void load(const Graph& graph, const Kernels& kernels) override {
    if (!graph.is_constant(weight_) || (!transposed_ && is_depthwise(args_))) return;
    const Tensor weight = graph.constant(weight_);
    packed_ = Tensor(DType::kF32, weight.shape());
    ConvArgs args = args_;
    args.weights = weight.as<float>().data();
    (transposed_ ? pack_conv_transpose : pack_conv)(kernels, args, packed_.as_mutable<float>().data());
    args_.packed = packed_.as<float>().data();
  }

  int64_t scratch_bytes(int64_t batch, int threads) const override {
    ConvArgs args = args_;
    args.batch = images_.at(batch);
    const size_t floats =
        transposed_ ? conv_transpose_scratch_floats(args, threads) : conv_scratch_floats(args, threads);
    return static_cast<int64_t>(floats * sizeof(float));
  }

  Status run(const RunState& s) const override {
    ConvArgs args = args_;
    args.batch = images_.at(s.batch);
    args.x = s.data(x_);
    args.weights = s.data(weight_);
    args.bias = s.data(bias_);
    args.out = s.data(y_);
    (transposed_ ? conv_transpose : conv)(s.kernels, s.pool, args, s.scratch_floats());
    return {};
  }

 private:
  ValueId x_, weight_, bias_, y_;
  Dim images_;
  bool transposed_;
  ConvArgs args_;
  Tensor packed_;
};

std::optional<Coordinates> coordinates_of(const Node& node) {
  const std::string mode = node.text("coordinate_transformation_mode", "half_pixel");
  if (mode == "half_pixel") return Coordinates::kHalfPixel;
  if (mode == "pytorch_half_pixel") return Coordinates::kPytorchHalfPixel;
  if (mode == "align_corners") return Coordinates::kAlignCorners;
  if (mode == "asymmetric") return Coordinates::kAsymmetric;
  return std::nullopt;
}

class ResizeStep : public Step {
 public:
  ResizeStep(const Graph& graph, const Node& node)
      : x_(node.input(0)),
        y_(node.outputs[0]),
        planes_(*multiply(extent(graph, x_, 0), extent(graph, x_, 1))) {
    args_.height = extent(graph, x_, 2).fixed;
    args_.width = extent(graph, x_, 3).fixed;
    args_.out_height = extent(graph, y_, 2).fixed;
    args_.out_width = extent(graph, y_, 3).fixed;
    args_.coordinates = *coordinates_of(node);
    // One scale for each axis that is resized: all four, or height and width (see refuse_resize).
    if (const ValueId id = node.input(2); graph.is_constant(id) && graph.constant(id).count() >= 2) {
      const auto scales = graph.constant(id).as<float>().last(2);
      args_.scale_h = scales[0];
      args_.scale_w = scales[1];
    }
  }
  int64_t scratch_bytes(int64_t batch, int threads) const override {
    return static_cast<int64_t>(resize_scratch_floats(at(batch), threads) * sizeof(float));
  }
  Status run(const RunState& s) const override {
    ResizeArgs args = at(s.batch);
    args.x = s.data(x_);
    args.out = s.data(y_);
    resize_bilinear(s.kernels, s.pool, args, s.scratch_floats());
    return {};
  }

 private:
  ResizeArgs at(int64_t batch) const {
    ResizeArgs args = args_;
    args.planes = planes_.at(batch);
    return args;
  }
  ValueId x_, y_;
  Dim planes_;
  ResizeArgs args_{};
};

// NCHW with everything but N fixed.
bool is_image(const Graph& graph, ValueId id) {
  const SymShape& shape = *graph.value(id).shape;
  return shape.size() == 4 && std::all_of(shape.begin() + 1, shape.end(), [](Dim d) { return d.is_fixed(); });
}

}  // namespace

std::string refuse_conv(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  if (!is_image(graph, node.input(0)) || !is_image(graph, node.input(1)))
    return "not a 2-D convolution of fixed size";
  // VALID pads nothing, as NOTSET does without pads; SAME_* would have to be worked out here.
  const std::string pad = node.text("auto_pad", "NOTSET");
  if (pad != "NOTSET" && pad != "VALID") return fmt::format("auto_pad {}", pad);
  if (node.op == Op::ConvTranspose && !graph.is_constant(node.input(1))) return "weight is not constant";
  return "";
}

void prepare_conv_transpose(Graph& graph, Node& node) {
  const Tensor weight = graph.constant(node.input(1));
  Tensor arranged(DType::kF32, weight.shape());
  ConvArgs args = conv_args(graph, node);
  args.weights = weight.as<float>().data();
  arrange_transposed(args, arranged.as_mutable<float>().data());
  node.inputs[1] = add_weight(graph, graph.value(node.input(1)).name + ".arranged", std::move(arranged));
}

std::unique_ptr<Step> make_conv(const Graph& graph, const Node& node) {
  return std::make_unique<ConvStep>(graph, node);
}

std::string refuse_resize(const Graph& graph, const Node& node) {
  if (graph.value(node.input(0)).dtype != DType::kF32) return "input is not float32";
  if (!is_image(graph, node.input(0)) || !is_image(graph, node.outputs[0]))
    return "not a 2-D image of fixed size";
  if (node.text("mode", "nearest") != "linear") return fmt::format("mode {}", node.text("mode", "nearest"));
  if (!coordinates_of(node))
    return fmt::format("coordinates {}", node.text("coordinate_transformation_mode", "half_pixel"));
  if (node.integer("antialias", 0) || node.integer("exclude_outside", 0))
    return "antialias or exclude_outside";
  const auto axes = node.integers("axes");
  if (!axes.empty() && axes != std::vector<int64_t>{2, 3}) return "axes other than height and width";
  const SymShape &in = *graph.value(node.input(0)).shape, &out = *graph.value(node.outputs[0]).shape;
  return in[0] == out[0] && in[1] == out[1] ? "" : "resizes the batch or the channels";
}

std::unique_ptr<Step> make_resize(const Graph& graph, const Node& node) {
  return std::make_unique<ResizeStep>(graph, node);
}

}  // namespace vitrail::cpu
