// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace vitrail {

// What a fused graph turned out to be. Stages partition the nodes; the last value of each stage is the point
// where `verify` compares.
struct Stage {
  std::string name;  // "patch_embed", "block.0" …, "head"
  ValueId output = kNoValue;
};
struct ModelStructure {
  int64_t blocks = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t width = 0;  // of the residual stream
  int64_t tokens = 0;
  int64_t mlp_width = 0;
  int64_t prefix_tokens = 0;
  std::string pooling;  // "class token", "mean", "none"
  std::string head;     // "linear [classes]", "convolutional", "none"
  std::string reason;   // when blocks == 0: what was not found
  std::vector<Stage> stages;
};

// Finds the residual stream: the input of a block is what the projection after its attention is added to, the
// output of the last block is what its MLP is added to. Writes each node's `stage`. A graph without such
// blocks gets the single stage "model" and a reason.
ModelStructure recognise_structure(Graph& graph);

}  // namespace vitrail
