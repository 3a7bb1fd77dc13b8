// SPDX-License-Identifier: Apache-2.0
// An inference request and its answer, however they travelled.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "preprocess/limit.h"
#include "serve/record.h"
#include "serve/scheduler.h"
#include "serve/served_model.h"
#include "serve/shared_memory.h"

namespace vitrail::serve {

inline constexpr std::string_view kBytes = "BYTES";
// Room for a request's description: more inputs, outputs or extents are refused.
inline constexpr size_t kMaxTensors = 64;
inline constexpr size_t kMaxRank = 16;

struct InferInput {
  std::string name;
  std::string datatype;
  Shape shape;
  // Little-endian elements, row-major; of BYTES each element is its length (uint32) and its bytes.
  std::span<const std::byte> data;
  std::shared_ptr<const void> owner;  // of data
  std::optional<RegionPart> region;   // data is there; see read_regions()
};

struct OutputWish {
  std::string name;
  std::optional<bool> binary;  // nothing: as InferRequest::binary_outputs says
  int64_t classes = 0;  // > 0: so many classes as BYTES "score:index:label" instead of the scores
  std::optional<RegionPart> region;  // it is written there instead of into the answer
};

struct InferRequest {
  std::string model, version, id;
  int priority = 0;
  int64_t timeout_us = 0;
  bool binary_outputs = false;
  std::vector<InferInput> inputs;
  std::vector<OutputWish> outputs;  // empty: all
  RecordPtr record{};  // null: nothing is to be told of it
  bool run_here = false;  // the thread that brings it may run it, while its answer is awaited
};

struct InferOutput {
  std::string name;
  std::string datatype;
  Shape shape;
  std::span<const std::byte> data;
  std::shared_ptr<const void> owner;
  bool binary = false;
  std::optional<RegionPart> region;  // where it was written; data is empty then
};

struct InferResponse {
  std::string model, version, id;
  std::vector<InferOutput> outputs;
};

// The elements of a BYTES tensor; kBadInput when its lengths do not add up to its size or it holds another number.
Result<std::vector<std::span<const std::byte>>> bytes_elements(const InferInput& input, int64_t count);

// Inputs in shared memory become copies of what is there now; outputs are written to where the request wants them.
Fault read_regions(const SharedMemory& memory, InferRequest& request);
Fault write_regions(const SharedMemory& memory, InferResponse& response);

// Checks names, types, shapes and sizes of a request against the model and makes the job that runs it. Inputs of
// BYTES for a model of pictures come back in `pictures`, still encoded: decode_pictures() fills in the job's input.
struct PreparedJob {
  Job job;
  std::vector<std::span<const std::byte>> pictures;
  std::shared_ptr<const void> picture_owner;
};
Result<PreparedJob> prepare_job(const ServedModel& model, const InferRequest& request);
Status decode_pictures(const ServedModel& model, PreparedJob& prepared, PixelLimit limit);

// The answer from what the scheduler gave.
Result<InferResponse> make_response(const ServedModel& model, const InferRequest& request, const JobResult& result);

}  // namespace vitrail::serve
