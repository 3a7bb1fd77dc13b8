// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "verify/verify.h"

namespace vitrail {

// Runs the samples in groups of `batch` and gives back the values of each sample apart, with a first extent
// divided by the batch. The last group is filled up with copies of its last sample. Fails when a value has no
// batch axis, that is when its first extent is no multiple of the batch.
Result<std::vector<SubjectValues>> run_rows(const VerifySubject& subject,
                                            std::span<const std::vector<NamedTensor>> samples, int64_t batch,
                                            std::span<const std::string> values);

}  // namespace vitrail
