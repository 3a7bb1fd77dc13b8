// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "serve/trace_settings.h"
#include "serve/traceparent.h"
#include "vitrail/tensor.h"

namespace vitrail::serve {

// A tensor of a request at one point of its way, a copy: what it lay in is gone before it is written.
struct TracedTensor {
  std::string_view activity;  // Triton's name of the point
  std::string name;
  Tensor tensor;
};

// What is told of one request, in the log and in its trace. Whoever works on the request fills in what it knows; when
// the last of them lets go of it, it is written. Times are steady nanoseconds; 0: that point was not reached.
struct RequestRecord {
  bool grpc = false;
  std::string method, path, peer;  // of HTTP; of gRPC the path is the call's name
  std::string model, version, id;
  int status = 0;     // of HTTP; of gRPC its code
  bool failed = false;  // by the server's fault
  std::string error;
  int64_t rows = 0, batch_rows = 0;

  int64_t receive_start_ns = 0, receive_end_ns = 0;
  int64_t request_start_ns = 0, request_end_ns = 0;
  int64_t queue_start_ns = 0, compute_start_ns = 0, input_end_ns = 0, output_start_ns = 0, compute_end_ns = 0;
  int64_t send_start_ns = 0, send_end_ns = 0;

  std::vector<TracedTensor> tensors;
  bool wants_tensors() const { return traced && traced->values.tensors; }

  bool logged = false;
  std::shared_ptr<const TraceGroup> traced;  // null: it is not traced
  bool counted = true;                       // in the group's count; not where the caller asked for the trace
  TraceContext parent;                       // the caller's span, where it named one
};

inline size_t tensor_bytes(const RequestRecord& record) {
  size_t bytes = 0;
  for (const TracedTensor& t : record.tensors) bytes += t.tensor.bytes();
  return bytes;
}

using RecordPtr = std::shared_ptr<RequestRecord>;

}  // namespace vitrail::serve
