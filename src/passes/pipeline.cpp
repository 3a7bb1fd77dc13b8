// SPDX-License-Identifier: Apache-2.0
#include "passes/pipeline.h"

#include "graph/edit.h"
#include "passes/batch_first.h"
#include "passes/cleanup.h"
#include "passes/fold_batch_norm.h"
#include "passes/fold_constants.h"
#include "passes/fuse_attention.h"
#include "passes/fuse_gelu.h"
#include "passes/fuse_layer_norm.h"
#include "passes/fuse_linear.h"
#include "passes/fuse_matmul_integer.h"
#include "passes/fuse_patch_embed.h"
#include "passes/fuse_quantized.h"
#include "passes/select_rows.h"

namespace vitrail {
namespace {

struct Pass {
  const char* name;
  int (*run)(Graph&);
};

int fuse_quantized_bias(Graph& graph) { return fuse_bias(graph, Op::QuantizedLinear); }

// Order matters: integer products must be made while the model's Q/DQ pairs are all there, and only then may
// the rest of the pairs go, out of the way of every other pattern; a layer scale must still find its Linear
// bare, and the epilogues must not swallow what attention and patch embedding look for. Rows are selected
// last: the names of full values are gone after it.
constexpr Pass kPasses[] = {
    {"fuse_quantized", fuse_quantized},
    {"fuse_matmul_integer", fuse_matmul_integer},
    {"drop_fake_quantization", drop_fake_quantization},
    {"fuse_quantized_bias", fuse_quantized_bias},
    {"fuse_layer_norm", fuse_layer_norm},
    {"fuse_gelu", fuse_gelu},
    {"fold_batch_norm", fold_batch_norm},
    {"fuse_linear", fuse_linear},
    {"fold_layer_scale", fold_layer_scale},
    {"batch_first", batch_first},
    {"fuse_attention", fuse_attention},
    {"merge_qkv", merge_qkv},
    {"fuse_patch_embed", fuse_patch_embed},
    {"fuse_epilogues", fuse_epilogues},
    {"select_rows", select_rows},
};

}  // namespace

Status simplify(Graph& graph, const Evaluator& evaluate) {
  VTL_TRY(fold_constants(graph, evaluate));
  VTL_TRY(cleanup(graph));
  return verify_graph(graph);
}

Result<ModelStructure> fuse(Graph& graph, std::vector<PassReport>* reports, const FuseOptions& options) {
  for (const Pass& pass : kPasses) {
    if (pass.run == drop_fake_quantization && !options.drop_fake_quantization) continue;
    const int changes = pass.run(graph);
    if (reports) reports->push_back({pass.name, changes});
    if (changes == 0) continue;
    VTL_TRY(infer_shapes(graph));
    VTL_TRY(cleanup(graph));
  }
  ModelStructure structure = recognise_structure(graph);
  VTL_TRY(verify_graph(graph));
  return structure;
}

}  // namespace vitrail
