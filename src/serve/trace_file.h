// SPDX-License-Identifier: Apache-2.0
// Traces in the JSON of Triton's documentation (user_guide/trace.md).
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/record.h"
#include "vitrail/status.h"

namespace vitrail::serve {

// The points that a request reached, in their order: Triton's names and steady nanoseconds.
std::vector<std::pair<std::string_view, int64_t>> timestamps_of(const RequestRecord& record);

// The objects of one trace, separated by commas.
std::string trace_json(const RequestRecord& record, uint64_t id);

// Used by one thread. A file is a whole JSON array after each trace.
class TraceFile {
 public:
  explicit TraceFile(std::string path) : path_(std::move(path)) {}

  // To `path`, or to path.0, path.1, … where the request's group says how many traces make a file, or how many there
  // will be. kIo with the system's reason.
  Status write(const RequestRecord& record, uint64_t id);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  struct Array {
    std::unique_ptr<std::FILE, Close> file;
    long end = 0;  // where the next trace goes
    uint64_t traces = 0;
  };
  static Status append(Array& array, const std::string& path, const std::string& text);

  const std::string path_;
  Array all_, part_;
  uint64_t index_ = 0;  // of part_
};

}  // namespace vitrail::serve
