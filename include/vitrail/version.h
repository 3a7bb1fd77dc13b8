// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vitrail {

// "major.minor.patch" of the library that is linked.
const char* version();

}  // namespace vitrail
