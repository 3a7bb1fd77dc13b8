// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vitrail::tensorrt {

// Whether the user has interrupted the program that opened this module.
bool host_cancelled();

}  // namespace vitrail::tensorrt
