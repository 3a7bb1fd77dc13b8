// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "workflow/build.h"

namespace vitrail {

struct RefitOptions {
  std::string preprocess_file, labels_file;  // instead of the model's own, else the engine's
  int threads = 1;
  Progress progress;
};

// Writes `output`: the engine with the weights of another model file of the same architecture, everything else as it was
// built. Inputs and outputs keep the engine's names; preprocessing and labels are the new model's where it carries
// them. The certificate does not come along: it speaks of other weights. kBadInput says why an engine or a model
// cannot be used; the files may be one and the same, and nothing is written then.
Result<BuildOutcome> refit_engine(const std::string& engine, const std::string& weights, const std::string& output,
                                  const RefitOptions& options);

}  // namespace vitrail
