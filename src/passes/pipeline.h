// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/evaluator.h"
#include "passes/structure.h"

namespace vitrail {

struct PassReport {
  std::string pass;
  int changes = 0;
};

// Makes an imported graph ready for any backend, the reference included: shapes inferred, constants folded,
// no-ops and dead nodes removed. The arithmetic that is left is the model's own.
Status simplify(Graph& graph, const Evaluator& evaluate);

struct FuseOptions {
  // Takes away the rounding of Q/DQ pairs that stand around float operators, so that attention, GELU and
  // patch embedding fuse in a model quantized as a whole. Integer products keep theirs. The outputs are then
  // closer to the float model's than to those of the model as it was given.
  bool drop_fake_quantization = false;
};

// Everything that all fast backends want on top of simplify(): LayerNorm, GELU, Linear with epilogues,
// attention, patch embedding, batch norm, integer products of quantized models, only the tokens that are
// read, and the stages of the model. The reports name each pass and how often it matched.
Result<ModelStructure> fuse(Graph& graph, std::vector<PassReport>* reports = nullptr,
                            const FuseOptions& options = {});

}  // namespace vitrail
