// SPDX-License-Identifier: Apache-2.0
// The part of conv() for convolutions whose groups have one input channel each.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace vitrail::cpu {

bool is_depthwise(const ConvArgs& args);
int64_t depthwise_floats(const ConvArgs& args);  // of scratch for each thread
void depthwise(const Kernels& kernels, ThreadPool& pool, const ConvArgs& args, float* scratch);

}  // namespace vitrail::cpu
