// SPDX-License-Identifier: Apache-2.0
#include "graph/infer.h"

#include <algorithm>
#include <array>

#include "core/cancel.h"
#include "graph/infer_context.h"

namespace vitrail {
namespace {

using Function = Status (*)(infer::Context&);

constexpr size_t kOpCount = 0
#define VTL_OP(name, min_inputs, max_inputs, max_outputs, traits) +1
#include "graph/ops.def"
#undef VTL_OP
    ;

struct Row {
  Function function;
  std::initializer_list<Op> ops;
};

struct Table {
  std::array<Function, kOpCount> functions{};
  std::array<bool, kOpCount> filled{};
};

constexpr Table kTable = [] {
  using enum Op;
  Table table;
  for (const Row& row : {
           Row{infer::same_as_input,
               {Abs,       Ceil,      Cos, Erf,      Exp,  Floor,      Gelu, HardSigmoid,
                HardSwish, LeakyRelu, Log, Neg,      Not,  Reciprocal, Relu, Round,
                Sigmoid,   Sign,      Sin, Softplus, Sqrt, Tanh,       Clip, Identity}},
           Row{infer::cast, {Cast}},
           Row{infer::cast_like, {CastLike}},
           Row{infer::dropout, {Dropout}},
           Row{infer::arithmetic, {Add, And, Div, Max, Min, Mod, Mul, Or, Pow, Sub}},
           Row{infer::comparison, {Equal, Greater, GreaterOrEqual, Less, LessOrEqual}},
           Row{infer::where, {Where}},
           Row{infer::arg_max, {ArgMax}},
           Row{infer::reduce,
               {ReduceL2, ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum, ReduceSumSquare}},
           Row{infer::concat, {Concat}},
           Row{infer::constant, {Constant}},
           Row{infer::constant_of_shape, {ConstantOfShape}},
           Row{infer::depth_to_space, {DepthToSpace}},
           Row{infer::expand, {Expand}},
           Row{infer::flatten, {Flatten}},
           Row{infer::gather, {Gather}},
           Row{infer::gather_elements, {GatherElements}},
           Row{infer::gather_nd, {GatherND}},
           Row{infer::is_nan, {IsNaN}},
           Row{infer::pad, {Pad}},
           Row{infer::scatter, {ScatterElements, ScatterND}},
           Row{infer::top_k, {TopK}},
           Row{infer::trilu, {Trilu}},
           Row{infer::range, {Range}},
           Row{infer::reshape, {Reshape}},
           Row{infer::resize, {Resize}},
           Row{infer::shape, {Shape}},
           Row{infer::size, {Size}},
           Row{infer::slice, {Slice}},
           Row{infer::space_to_depth, {SpaceToDepth}},
           Row{infer::split, {Split}},
           Row{infer::squeeze, {Squeeze}},
           Row{infer::tile, {Tile}},
           Row{infer::transpose, {Transpose}},
           Row{infer::unsqueeze, {Unsqueeze}},
           Row{infer::pool, {AveragePool, MaxPool}},
           Row{infer::batch_normalization, {BatchNormalization}},
           Row{infer::conv, {Conv}},
           Row{infer::conv_transpose, {ConvTranspose}},
           Row{infer::gemm, {Gemm}},
           Row{infer::global_average_pool, {GlobalAveragePool}},
           Row{infer::layer_normalization, {LayerNormalization}},
           Row{infer::matmul, {MatMul}},
           Row{infer::softmax, {Softmax, LogSoftmax}},
           Row{infer::quantize, {QuantizeLinear}},
           Row{infer::dequantize, {DequantizeLinear}},
           Row{infer::linear, {Linear, QuantizedLinear}},
           Row{infer::multi_head_attention, {MultiHeadAttention}},
           Row{infer::patch_embed, {PatchEmbed}},
           Row{infer::row_stats, {RowStats}},
           Row{infer::plan, {Plan}},
       })
    for (Op op : row.ops) {
      table.functions[static_cast<size_t>(op)] = row.function;
      table.filled[static_cast<size_t>(op)] = true;
    }
  return table;
}();
static_assert(std::all_of(kTable.filled.begin(), kTable.filled.end(), [](bool b) { return b; }),
              "an operator of ops.def has no shape inference");

// A Reshape with one input and no target has been resolved by a pass, a Plan was made of layers that are gone: the
// shapes of their outputs are the truth.
bool keeps_known_shape(const Node& node) {
  return node.op == Op::Plan || (node.op == Op::Reshape && node.input(1) == kNoValue && !node.has("shape"));
}

}  // namespace

DType dtype_from_onnx(int64_t data_type) {
  switch (data_type) {
    case 1:
      return DType::kF32;
    case 2:
      return DType::kU8;
    case 3:
      return DType::kI8;
    case 4:
      return DType::kU16;
    case 5:
      return DType::kI16;
    case 6:
      return DType::kI32;
    case 7:
      return DType::kI64;
    case 9:
      return DType::kBool;
    case 10:
      return DType::kF16;
    case 11:
      return DType::kF64;
    case 12:
      return DType::kU32;
    case 13:
      return DType::kU64;
    case 16:
      return DType::kBF16;
    case 17:
      return DType::kF8E4M3;
    case 19:
      return DType::kF8E5M2;
    default:
      return DType::kUndefined;
  }
}

Status infer_node(Graph& graph, Node& node) {
  infer::Context context(graph, node);
  const OpInfo& info = op_info(node.op);
  for (int i = 0; i < info.min_inputs; ++i)
    if (!context.has(static_cast<size_t>(i))) return context.error("its input {} is missing", i);
  if (node.outputs.empty()) return context.error("it has no output");
  if (!keeps_known_shape(node)) {
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      graph.value(id).shape.reset();
      graph.value(id).integers.reset();
    }
  }
  return kTable.functions[static_cast<size_t>(node.op)](context);
}

Status infer_shapes(Graph& graph) {
  for (Node& node : graph.nodes) {
    if (cancel::requested()) return cancelled();
    VTL_TRY(infer_node(graph, node));
  }
  return {};
}

}  // namespace vitrail
