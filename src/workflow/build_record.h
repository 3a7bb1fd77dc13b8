// SPDX-License-Identifier: Apache-2.0
// How an engine was built and of what: what `vitrail refit` builds again by, and compares a model with.
#pragma once

#include <string>
#include <string_view>

#include "workflow/build.h"

namespace vitrail {

// Whether the backend calibrates the ranges of a float model while it compiles (TensorRT 8.5 to 10).
bool finds_ranges_itself(const BuildOptions& options);

// EngineInfo::build_json. `graph` is fused and not yet compiled: its layers, their attributes and wiring, and the
// types and shapes of its weights are told, not the weights.
std::string record_build(const Graph& graph, const BuildOptions& options);

// The options that the record holds (input, dimensions, what was dropped, options of the plan); what EngineInfo
// says besides is not among them. kBadInput for an engine that cannot be refitted: without a record, with a plan
// that takes no weights, with ranges of 8 bits that were found with the weights it has.
Result<BuildOptions> recorded_options(const EngineInfo& info, std::string_view engine);

// Whether two records are of one architecture. kBadInput names the first layer that differs, with both sides.
Status same_architecture(const std::string& of_engine, const std::string& of_model, std::string_view engine,
                         std::string_view model);

// Calls the inputs and outputs of `graph` by the names that those of `other` have in the same places, where it has
// other names for as many.
void use_names_of(const Graph& other, Graph& graph);

}  // namespace vitrail
