// SPDX-License-Identifier: Apache-2.0
#include "vitrail/status.h"

namespace vitrail {

int exit_status(Code code) {
  switch (code) {
    case Code::kOk:
      return 0;
    case Code::kCheckFailed:
      return 1;
    case Code::kUsage:
    case Code::kResource:
      return 2;  // the cap is an option of the user
    case Code::kBadInput:
    case Code::kIo:
      return 3;
    case Code::kUnavailable:
      return 4;
    case Code::kCancelled:
      return 130;
    case Code::kInternal:
      return 70;  // EX_SOFTWARE of sysexits.h
  }
  return 70;
}

}  // namespace vitrail
