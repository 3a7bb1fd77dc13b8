// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "graph/graph.h"

namespace vitrail {

// What turns bytes into the model's input, channel by channel: byte · scale + shift.
struct ByteScaling {
  std::array<float, 3> scale{}, shift{};
};
// Of (byte / 255 - mean) / std: scale = 1 / (255 · std), shift = -mean / std, rounded once.
ByteScaling byte_scaling(const std::array<float, 3>& mean, const std::array<float, 3>& std);

// Makes the graph take its pictures as bytes: a quarter of the traffic, and nothing to normalise outside. The
// one input, float32 [N,3,H,W], becomes uint8 [N,H,W,3] under the same name, and in front of its readers
// stands
//
//   %a [N,H,W,3] = Cast(%input) {to = 1}                float32
//   %b [N,H,W,3] = Mul(%a, %scale [3])
//   %c [N,H,W,3] = Add(%b, %shift [3])
//   %d [N,3,H,W] = Transpose(%c) {perm = [0, 3, 1, 2]}
//
// as the first four nodes, named "<input>/cast", "/mul", "/add" and "/transpose" like the values that they
// make. The value %d keeps the ValueId of the float input. A backend may take the chain into its first layer:
// match_byte_input() finds it. To be used behind fuse(), which must not see it. kUsage when the graph is fed
// otherwise.
Status use_byte_input(Graph& graph, const ByteScaling& scaling);

// The chain above, when the graph begins with it and nothing else reads what it makes.
struct ByteInput {
  ValueId bytes = kNoValue;   // the graph's input
  ValueId pixels = kNoValue;  // %d, what the model reads
  ByteScaling scaling;
};
std::optional<ByteInput> match_byte_input(const Graph& graph);

}  // namespace vitrail
