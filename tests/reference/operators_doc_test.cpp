// SPDX-License-Identifier: Apache-2.0
// docs/operators.md is made from ops.def and the notes below: run this test with VTL_UPDATE_DOCS=1 to write
// it anew.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <climits>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "graph/graph.h"

namespace vitrail {
namespace {

struct Note {
  const char* types;
  const char* text;
};

const std::map<std::string_view, Note> kNotes = {
    {"Abs", {"number", ""}},
    {"Ceil", {"float", ""}},
    {"Cos", {"float", ""}},
    {"Erf", {"float", ""}},
    {"Exp", {"float", ""}},
    {"Floor", {"float", ""}},
    {"Gelu", {"float", "`approximate` none, tanh, or Vitrail's quick = x · sigmoid(1.702 x)"}},
    {"HardSigmoid", {"float", ""}},
    {"HardSwish", {"float", ""}},
    {"IsNaN", {"float", "to bool"}},
    {"LeakyRelu", {"float", ""}},
    {"Log", {"float", ""}},
    {"Neg", {"number", "integers wrap around"}},
    {"Not", {"bool", ""}},
    {"Reciprocal", {"float", ""}},
    {"Relu", {"number", ""}},
    {"Round", {"float", "ties to even"}},
    {"Sigmoid", {"float", ""}},
    {"Sign", {"number", ""}},
    {"Sin", {"float", ""}},
    {"Softplus", {"float", ""}},
    {"Sqrt", {"float", ""}},
    {"Tanh", {"float", ""}},
    {"Clip", {"number", ""}},
    {"Cast", {"any, float8", "to integers: towards zero, saturating, NaN to 0"}},
    {"CastLike", {"any, float8", "as Cast"}},
    {"Identity", {"any", ""}},
    {"Dropout", {"any", "inference only"}},
    {"Add", {"number", "integers wrap around"}},
    {"And", {"bool", ""}},
    {"Div", {"number", "integers towards zero; an integer divisor of 0 is an error"}},
    {"Equal", {"number, bool", ""}},
    {"Greater", {"number", ""}},
    {"GreaterOrEqual", {"number", ""}},
    {"Less", {"number", ""}},
    {"LessOrEqual", {"number", ""}},
    {"Max", {"number", "NaN wins"}},
    {"Min", {"number", "NaN wins"}},
    {"Mod", {"number", "an integer divisor of 0 is an error"}},
    {"Mul", {"number", "integers wrap around"}},
    {"Or", {"bool", ""}},
    {"Pow", {"number", "the exponent may be of another type"}},
    {"Sub", {"number", "integers wrap around"}},
    {"Where", {"any", ""}},
    {"ArgMax", {"number", "NaN wins"}},
    {"ReduceL2", {"number", ""}},
    {"ReduceMax", {"number, bool", "NaN wins"}},
    {"ReduceMean", {"number", ""}},
    {"ReduceMin", {"number, bool", "NaN wins"}},
    {"ReduceProd", {"number", ""}},
    {"ReduceSum", {"number", ""}},
    {"ReduceSumSquare", {"number", ""}},
    {"Concat", {"any", ""}},
    {"Constant", {"any", "`value`, `value_int(s)`, `value_float(s)`"}},
    {"ConstantOfShape", {"any", ""}},
    {"DepthToSpace", {"any", ""}},
    {"Expand", {"any", ""}},
    {"Flatten", {"any", ""}},
    {"Gather", {"any", "indices int32 or int64"}},
    {"GatherElements", {"any", "indices int32 or int64"}},
    {"GatherND", {"any", "`batch_dims`; indices int32 or int64"}},
    {"Pad", {"any", "constant, edge, reflect, wrap; negative pads crop"}},
    {"Range", {"number", ""}},
    {"Reshape", {"any", "the shape is input 1, or attribute `shape` (at most one -1)"}},
    {"Resize", {"number", "nearest, linear, cubic; all coordinate modes, antialias, aspect-ratio policies"}},
    {"ScatterElements", {"any", "`reduction` none, add, mul, min, max"}},
    {"ScatterND", {"any", "`reduction` none, add, mul, min, max"}},
    {"Shape", {"any", ""}},
    {"Size", {"any", ""}},
    {"Slice", {"any", ""}},
    {"SpaceToDepth", {"any", ""}},
    {"Split", {"any", ""}},
    {"Squeeze", {"any", ""}},
    {"Tile", {"any", ""}},
    {"TopK", {"number", "always sorted; equal ones in their order, NaN is the largest"}},
    {"Transpose", {"any", ""}},
    {"Unsqueeze", {"any", ""}},
    {"Trilu", {"any", "`upper`; k int32 or int64"}},
    {"AveragePool", {"float", "any number of spatial axes"}},
    {"BatchNormalization", {"float", "inference only"}},
    {"Conv", {"float", "any number of spatial axes"}},
    {"ConvTranspose", {"float", "any number of spatial axes"}},
    {"Gemm", {"float", ""}},
    {"GlobalAveragePool", {"float", "any number of spatial axes"}},
    {"LayerNormalization", {"float", "the first output only"}},
    {"LogSoftmax", {"float", "along one axis"}},
    {"MatMul", {"number", ""}},
    {"MaxPool", {"number", "without indices; any number of spatial axes"}},
    {"Softmax", {"float", "along one axis"}},
    {"DequantizeLinear", {"int8 to int32, float8, to float", "for all, an axis or blocks of it; float32 inside"}},
    {"QuantizeLinear",
     {"float, int32",
      "to (u)int8, (u)int16, float8; ties to even, saturating; for all, an axis or blocks of it; float32 inside unless "
      "`precision` says float16 or bfloat16"}},
    {"Linear", {"float", "own, see below"}},
    {"MultiHeadAttention", {"float", "own, see below"}},
    {"PatchEmbed", {"float", "own, see below"}},
    {"QuantizedLinear", {"int8, uint8", "own, see below"}},
    {"Plan", {"any", "own, see below"}},
    {"RowStats", {"float32", "own, see below"}},
};

constexpr const char* kHead =
    R"(<!-- Made by tests/reference/operators_doc_test.cpp from src/graph/ops.def; VTL_UPDATE_DOCS=1 writes it anew. -->
# Operators

What the graph may hold and the reference backend runs. Names, attributes and defaults are those of
[ONNX](https://onnx.ai/onnx/operators/) in its newest form (axes, splits and pads as inputs); a model of an older opset
is restated when it is imported. *float* is float16, bfloat16, float32 and float64; *number* adds all integers; *any*
adds bool; *float8* is float8_e4m3fn and float8_e5m2, which are moved, cast and dequantized only. 16-bit floats compute
in float32 and round once; every sum runs in float64. A model whose weights are in 16 bits is widened to float32 when it
is read, inputs and outputs included, unless it quantizes: nothing is rounded to 16 bits then.

| operator | inputs | outputs | types | notes |
|---|---|---|---|---|
)";

constexpr const char* kRestatedHead = R"(
## Restated when imported

These are written in operators of the table above by the importer (`src/import/onnx/restated.def`), so that passes and backends
see one form of each. An If whose condition follows from shapes and constants becomes the branch that it takes.

| operator | inputs | outputs | becomes |
|---|---|---|---|
)";

constexpr const char* kTail = R"(
## Quantized operators of other tools

The import restates them by those above; the layer that computes keeps its name. `vitrail inspect` shows what becomes of
each product.

| operator | becomes | is it the same |
|---|---|---|
| QLinearMatMul, QLinearConv; com.microsoft: QGemm, QLinearAdd, QLinearMul, QLinearSigmoid, QLinearLeakyRelu, QLinearSoftmax, QLinearAveragePool, QLinearGlobalAveragePool, QLinearReduceMean, QLinearConcat, QLinearWhere | DequantizeLinear, the operator in floats, QuantizeLinear | up to a result within float32's rounding of a tie, which may fall to its other side: one step |
| MatMulInteger | Cast, Sub, MatMul in int32 | exactly |
| ConvInteger | Cast, Sub, Conv in float64, Cast to int32 | exactly |
| DynamicQuantizeLinear | the function that ONNX defines it by | exactly |
| com.microsoft: QuantizeLinear, DequantizeLinear; trt: TRT_FP8QuantizeLinear, TRT_FP8DequantizeLinear | QuantizeLinear, DequantizeLinear | exactly |

A MatMul or Gemm of a dequantized activation (one constant scale, int8 or uint8) by dequantized constant weights (a scale
for all or for each column; int8 around 0, uint8 around 128) becomes QuantizedLinear, a sum of integers. So does
MatMulInteger whose sums are cast to float32 at once and whose weights less their zero point fit in int8; a zero point of the activation
that is only known at run time is taken out of the sum in float32, exact below 2²⁴. What is left computes in floats with
dequantized weights, exact as ONNX defines it: convolutions, products of two activations, other zero points of weights,
scales along the summed axis or for blocks, 16-bit numbers and scales, float8. Weights of 4 bits are an error.

## Vitrail's own

Made by the passes out of ONNX operators; `?` marks an optional input.

**Linear**(x [‥,K], W [K,N], b [N]?, residual [‥,N]?) → [‥,N]

    y = activation(x · W + b) + residual

`activation`: none (default), relu, gelu, gelu_tanh, gelu_quick, silu, sigmoid, tanh.

**MultiHeadAttention**(q [B,Sq,Cq], k [B,Sk,Ck], v [B,Sk,Cv], mask?) → [B, Sq, heads · v_head_dim]

    y[b,i,h] = Σj softmaxj(scale · ⟨Q[b,i,h], K[b,j,h]⟩ + mask[b,h,i,j]) · V[b,j,h]

Head h of a source is its columns `offset + h · dim` to `offset + (h + 1) · dim`, so that q, k and v may be one packed
tensor. The mask is added and broadcasts to [B, heads, Sq, Sk]. Attributes: `heads`, `head_dim`, `v_head_dim` (default
head_dim), `q_offset`, `k_offset`, `v_offset` (default 0), `scale` (default 1/√head_dim).

**PatchEmbed**(x [B,C,H,W], W [OC,C,kh,kw], bias [OC]?, table [prefix + P, OC]?) → [B, prefix + P, OC]

    y[b,t]          = table[t]                                    for t < prefix (class token, registers)
    y[b,prefix + p] = ⟨W, patch p of x[b]⟩ + bias + table[prefix + p]

Patches do not overlap and are counted along rows, P = ⌊H/kh⌋ · ⌊W/kw⌋. Attributes: `strides` (equal to the kernel),
`prefix` (default 0).

**QuantizedLinear**(x [‥,K] int8 or uint8, W [K,N] int8, w_scale [N], b [N]?, residual [‥,N]?) → [‥,N] float32

    y[‥,n] = activation(x_scale · w_scale[n] · Σk (x[‥,k] − x_zero_point) · W[k,n] + b[n]) + residual[‥,n]

The sum is one of integers. x is what a QuantizeLinear makes, which stays a node of its own; w_scale, b and residual are
float32. Attributes: `x_scale` (a float), `x_zero_point` (an integer in the range of x, default 0), `activation` (as
Linear's). The CPU backend packs W, which adds input 5 (what its sums start at), and makes y of 8 bits where a
QuantizeLinear was its only reader, as it does for LayerNormalization and MultiHeadAttention (attributes `q_scale`,
`q_zero`).

**Plan**(bytes, x, …) → y, …

What a backend with an engine of its own (TensorRT) makes of a whole graph: the engine, as that library writes it, then
the graph's inputs; all of its outputs. Only that backend runs it. The layers that went into it are in the engine file's
reports.

**RowStats**(x [‥,K]) → [‥, 2 · ⌈K/64⌉] float32

    y[‥,2g] = mean of the columns 64g to 64g + 63,  y[‥,2g+1] = Σ (x − y[‥,2g])² over them

What a LayerNormalization folded into a product needs of its rows; made by the CUDA backend, which stores the pairs of a
group for all rows together and may make wider groups, as are the inputs 4 and 5
(stats, col_scale) and the outputs 1 and 2 (stats of y, y in 8 bits) of Linear and output 1 (stats) of PatchEmbed.
)";

std::string range(int least, int most) {
  if (least == most) return std::to_string(least);
  return most == INT_MAX ? fmt::format("{} or more", least) : fmt::format("{} to {}", least, most);
}

std::string document() {
  std::string text = kHead;
  for (const OpInfo& op : all_ops()) {
    const auto note = kNotes.find(op.name);
    EXPECT_NE(note, kNotes.end()) << op.name << " has no note here";
    if (note == kNotes.end()) continue;
    text += fmt::format("| {} | {} | {} | {} | {} |\n", op.name, range(op.min_inputs, op.max_inputs),
                        range(1, op.max_outputs), note->second.types, note->second.text);
  }
  text += kRestatedHead;
#define VTL_RESTATED(name, min_inputs, max_inputs, max_outputs, note)                  \
  text += fmt::format("| {} | {} | {} | {} |\n", #name, range(min_inputs, max_inputs), \
                      range(1, max_outputs), note);
#include "import/onnx/restated.def"
#undef VTL_RESTATED
  return text + kTail;
}

TEST(OperatorsDoc, IsUpToDate) {
  const std::string path = VTL_SOURCE_DIR "/docs/operators.md", wanted = document();
  if (std::getenv("VTL_UPDATE_DOCS")) std::ofstream(path) << wanted;
  std::ifstream file(path);
  std::stringstream found;
  found << file.rdbuf();
  EXPECT_EQ(found.str(), wanted) << "run this test with VTL_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace vitrail
