// SPDX-License-Identifier: Apache-2.0
// The stages of compiling, in the order in which backend.cpp runs them. Each rewrites the graph.
#pragma once

#include <vector>

#include "backends/cuda/precision.h"
#include "engine/engine.h"
#include "runtime/backend.h"

namespace vitrail::cuda {

// Activations that no kernel has (quick GELU, SiLU) become the element-wise operators that they are made of.
void lower_activations(Graph& graph);

// Gives each node its attribute "kernel"; what better kernels say against it goes into "refused".
void choose_kernels(Graph& graph, const Target& target);

// Takes LayerNormalizations into the products that read them; returns how many. See fold_norm.h. Their γ and β wait as
// attributes of the product, until pack_weights() multiplies its weight.
inline constexpr const char* kFoldedScale = "ln_scale";
inline constexpr const char* kFoldedBias = "ln_bias";
int fold_norms(Graph& graph, const Target& target);

// Sets the type of each value to that of the kernel which makes it and puts a Cast (kernel "convert") where a
// reader wants another. Graph inputs and outputs keep theirs.
void assign_types(Graph& graph, const Target& target);

// fp8: the inputs of the products become E4M3. int8: QuantizeLinear and QuantizedLinear get their numbers.
// Then quantizing moves into the layers in front. kUsage where fp8 lacks a calibrated range.
Status quantize(Graph& graph, const Target& target, const CompileOptions& options);

// Lays out the weights of Linear, QuantizedLinear (which becomes a Linear) and PatchEmbed.
void pack_weights(Graph& graph, const Target& target);

// All of the above, in order. Needs no device: `target` says for which one.
Result<std::vector<LayerReport>> rewrite(Graph& graph, const Target& target, const CompileOptions& options);

// Times the configurations of every product at every bucket and notes the winners as attribute "tactics".
Status tune(Graph& graph, const Target& target, const CompileOptions& options);

// Of the rewritten graph; takes the notes of choose_kernels out of it.
std::vector<LayerReport> make_reports(Graph& graph);

}  // namespace vitrail::cuda
