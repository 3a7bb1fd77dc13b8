// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string>

namespace vitrail {

// The Python that has the packages that tests compare with: $VTL_PYTHON (scripts/test.sh sets it), else python3.
inline std::string test_python() {
  const char* set = std::getenv("VTL_PYTHON");
  return set != nullptr ? set : "python3";
}

}  // namespace vitrail
