// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "vitrail/vitrail.h"

namespace vitrail {

// The `top` most probable classes of one row of scores, best first: softmax, ties by index.
std::vector<Classification> top_classes(std::span<const float> scores, const std::vector<std::string>& labels,
                                        int top);

}  // namespace vitrail
