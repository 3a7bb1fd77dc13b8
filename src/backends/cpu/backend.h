// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/backend.h"

namespace vitrail {

// FP32 on x86-64: packed GEMMs with fused epilogues, fused attention; scalar, AVX2 or AVX-512 chosen at load
// time, so one engine file runs on all of them. Nodes without a fast kernel run on the reference backend's
// loops.
std::unique_ptr<Backend> make_cpu_backend();

}  // namespace vitrail
