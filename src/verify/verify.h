// SPDX-License-Identifier: Apache-2.0
// `vitrail verify`: runs the engine and a reference on the same samples and compares outputs and stages.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "verify/verify_report.h"
#include "vitrail/status.h"
#include "vitrail/tensor.h"

namespace vitrail {

// What one run of a batch gave. Names are unique within each list.
struct SubjectValues {
  std::vector<NamedTensor> outputs;
  std::vector<NamedTensor> values;  // those asked for, any order
};

// One side of a comparison: an engine or the reference.
struct VerifySubject {
  std::string name;  // "engine fp32 (cpu, avx2)", "reference backend"
  // Runs one batch; the samples are joined along the first axis of every input. `values` are names of values
  // inside the network to return besides the outputs.
  std::function<Result<SubjectValues>(std::span<const NamedTensor> inputs,
                                      std::span<const std::string> values)>
      run;
};

// Where the samples come from. Each is a set of inputs whose first extent is 1.
struct SampleSource {
  int64_t count = 0;
  std::string description;  // "photos/ (24 images)", "12 random inputs, seed 0"
  std::function<Result<std::vector<NamedTensor>>(int64_t index)> load;
};

// A place inside the network where both sides hold the same value.
struct StagePoint {
  std::string stage;  // "block.3"
  std::string value;  // name of the value that the stage ends with, the same on both sides
};

struct VerifyOptions {
  Tolerance tolerance;
  // Batch sizes that `got` is run at. At the first it is compared with the reference, at the others with
  // itself.
  std::vector<int64_t> batches = {1, 4};
  int64_t reference_batch = 1;
  // May be empty.
  std::function<void(int64_t done, int64_t total)> progress;
};

// Compares every sample. The last group of a batch size is filled up with copies of its last sample. Whether
// it passed is in the report; the result fails when a side cannot be run, outputs differ in name or shape, a
// stage value is missing, there is no sample, or the user interrupts (kCancelled). The caller fills in model,
// hash and the like.
Result<VerifyReport> verify(const VerifySubject& got, const VerifySubject& want, const SampleSource& samples,
                            std::span<const StagePoint> stages, const VerifyOptions& options);

}  // namespace vitrail
