// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "passes/evaluator.h"
#include "passes/structure.h"

namespace vitrail {

struct PassReport {
  std::string pass;
  int changes = 0;
};

// Makes an imported graph ready for any backend, the reference included: shapes inferred, constants folded,
// no-ops and dead nodes removed. The arithmetic that is left is the model's own.
Status simplify(Graph& graph, const Evaluator& evaluate);

// Everything that all fast backends want on top of simplify(): LayerNorm, GELU, Linear with epilogues,
// attention, patch embedding, batch norm, only the tokens that are read, and the stages of the model. The
// reports name each pass and how often it matched.
Result<ModelStructure> fuse(Graph& graph, std::vector<PassReport>* reports = nullptr);

}  // namespace vitrail
