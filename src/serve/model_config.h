// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serve/served_model.h"

namespace vitrail::serve {

// Which of a model's versions are served: the `latest` newest, all, or those of the list.
struct VersionPolicy {
  int64_t latest = 1;
  bool all = false;
  std::vector<int64_t> specific{};

  // Of the versions that are there, ascending, those that are to be served.
  std::vector<int64_t> choose(const std::vector<int64_t>& there) const;
};

struct ModelConfiguration {
  ModelSettings settings;
  VersionPolicy versions;
  std::string file;  // of each version's folder; empty: the only *.vtl, or model.vtl
  std::vector<std::string> ignored;  // what of the text means nothing here, for the log
};

// Reads a config.pbtxt over the server's own settings. Of Triton's fields max_batch_size, version_policy,
// instance_group.count, dynamic_batching, model_warmup (batch_size, count),
// default_model_filename and parameters "threads" are read. kBadInput with line and column where the text cannot be
// read, and for values that make no sense.
Result<ModelConfiguration> read_config(const std::string& text, const std::string& model, const ModelSettings& base);

}  // namespace vitrail::serve
