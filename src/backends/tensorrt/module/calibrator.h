// SPDX-License-Identifier: Apache-2.0
// INT8 by TensorRT's own calibration, of a float model: TensorRT 8.5 to 10.
#pragma once

#include <memory>

#include "backends/tensorrt/module/library.h"
#include "runtime/backend.h"
#include "runtime/plan_options.h"

namespace vitrail::tensorrt {

// What TensorRT asks while it builds. A failure is kept: TensorRT's own interface can only say that there is no batch.
class Calibration {
 public:
  virtual ~Calibration() = default;
  // After the build: kBadInput or kUnavailable for what went wrong, else the cache of a build that worked is written.
  virtual Status finish(bool built) = 0;
};

// Hands a calibrator to the build, or its cached ranges where there are any. Null where none is wanted. kUnavailable where
// this TensorRT has no calibrator, kBadInput for a cache that is damaged or of another version and no pictures to make a new one.
Result<std::unique_ptr<Calibration>> add_calibration(const Library& library, nv::IBuilder& builder,
                                                     nv::IBuilderConfig& config, const Graph& graph,
                                                     const CalibrationFeed& feed);

}  // namespace vitrail::tensorrt
