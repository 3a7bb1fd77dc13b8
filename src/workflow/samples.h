// SPDX-License-Identifier: Apache-2.0
// Inputs for running, verifying and measuring: images, NumPy files or random numbers.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "preprocess/contract.h"
#include "verify/verify.h"

namespace vitrail {

// The one input of the graph that takes pictures: float32 [N, 3, H, W] or uint8 [N, H, W, 3]. kUsage, naming
// the inputs, when the model is fed otherwise.
Result<ValueId> image_input(const Graph& graph);

// Row `row` of a tensor whose first extent counts samples, as a tensor of one row.
Tensor row_of(const Tensor& tensor, int64_t row);

// Arrays in float16 for inputs in float32, as those of a widened model are (passes/widen_halves.h), become float32, exactly.
void widen_for(const Graph& graph, std::vector<NamedTensor>& tensors);

// Decodes and prepares images as one batch, on all cores: normalised float32 [n, 3, height, width], or uint8 [n, height,
// width, 3] for an engine that normalises by itself. Errors name the file.
Result<Tensor> image_batch(const std::vector<std::string>& files, const PreprocessContract& contract,
                           DType dtype = DType::kF32);

// uint8 [n, height, width, 3] as image_batch() would have given it in float32.
Tensor normalised(const Tensor& bytes, const PreprocessContract& contract);

// One image of the folder (searched recursively) a sample.
Result<SampleSource> image_samples(const Graph& graph, const PreprocessContract& contract,
                                   const std::string& folder);

// Every .npz of the folder holds all inputs by name; every .npy is the only input. A file with several rows
// is several samples.
Result<SampleSource> file_samples(const Graph& graph, const std::string& folder);

// image_samples() of a model that is fed with pictures, file_samples() of any other.
Result<SampleSource> folder_samples(const Graph& graph, const PreprocessContract& contract, const std::string& folder);

// `count` samples of standard normal numbers (int64: 0 and 1; uint8: 0 to 255), the same in every run.
SampleSource random_samples(const Graph& graph, int64_t count);

}  // namespace vitrail
