// SPDX-License-Identifier: Apache-2.0
// Makers of failed statuses with fmt formatting: return bad_input("layer {}: K is {}", name, k);
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "vitrail/status.h"

namespace vitrail {

#define VTL_ERROR_MAKER(function, code)                                       \
  template <class... Args>                                                    \
  Status function(fmt::format_string<Args...> format, Args&&... args) {       \
    return Status(code, fmt::format(format, std::forward<Args>(args)...));    \
  }
VTL_ERROR_MAKER(check_failed, Code::kCheckFailed)
VTL_ERROR_MAKER(usage_error, Code::kUsage)
VTL_ERROR_MAKER(bad_input, Code::kBadInput)
VTL_ERROR_MAKER(unavailable, Code::kUnavailable)
VTL_ERROR_MAKER(io_error, Code::kIo)
VTL_ERROR_MAKER(resource_error, Code::kResource)
VTL_ERROR_MAKER(internal_error, Code::kInternal)
#undef VTL_ERROR_MAKER

// Every loop that a user may interrupt asks cancel::requested() and returns this.
inline Status cancelled() { return Status(Code::kCancelled, "interrupted"); }

}  // namespace vitrail
