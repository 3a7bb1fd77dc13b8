// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/graph.h"
#include "graph/evaluator.h"

namespace vitrail {

// Infers the shapes of the whole graph as infer_shapes() does and, on the way, turns into constants what does
// not depend on the inputs: nodes whose operands are all constants, and shape arithmetic whose integers are
// fixed. Graph outputs may become constants too. A node that would make the constants much larger than they
// are (an expanded scalar, say) stays, and so does the DequantizeLinear of weights that fuse_quantized() can
// multiply as integers. Fails as infer_shapes() and the evaluator do, and with kInternal where
// the two disagree.
Status fold_constants(Graph& graph, const Evaluator& evaluate);

}  // namespace vitrail
