// SPDX-License-Identifier: Apache-2.0
#include "serve/fault.h"

namespace vitrail::serve {

int http_status(Cause cause) {
  switch (cause) {
    case Cause::kNone:
      return 200;
    case Cause::kInvalid:
      return 400;
    case Cause::kUnauthorized:
      return 401;
    case Cause::kForbidden:
      return 403;
    case Cause::kNotFound:
      return 404;
    case Cause::kNotAllowed:
      return 405;
    case Cause::kTooLarge:
      return 413;
    case Cause::kCancelled:
      return 499;  // nginx's word for it
    case Cause::kInternal:
      return 500;
    case Cause::kBusy:
    case Cause::kUnready:
      return 503;
    case Cause::kExpired:
      return 504;
  }
  return 500;
}

Fault fault_of(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
      return {};
    case Code::kBadInput:
    case Code::kUsage:
      return {Cause::kInvalid, status.message()};
    case Code::kUnavailable:
    case Code::kResource:
      return {Cause::kUnready, status.message()};
    case Code::kCancelled:
      return {Cause::kCancelled, status.message()};
    case Code::kCheckFailed:
    case Code::kIo:
    case Code::kInternal:
      return {Cause::kInternal, status.message()};
  }
  return {Cause::kInternal, status.message()};
}

}  // namespace vitrail::serve
