// SPDX-License-Identifier: Apache-2.0
#include "api/backends.h"

#include "backends/cpu/backend.h"
#include "backends/cuda/backend.h"
#include "backends/reference/backend.h"
#include "backends/tensorrt/backend.h"

namespace vitrail {

BackendRegistry make_backends() {
  BackendRegistry backends;
  backends.add(make_cpu_backend());
  backends.add(make_cuda_backend());
  backends.add(make_tensorrt_backend());
  backends.add(make_reference_backend());
  return backends;
}

}  // namespace vitrail
