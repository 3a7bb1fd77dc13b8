// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <variant>

#include "vitrail/status.h"

namespace vitrail::serve {

// Why a request was not answered; each has its status in HTTP and in gRPC.
enum class Cause {
  kNone,
  kInvalid,       // 400: what was sent is not what it must be
  kUnauthorized,  // 401: a token is needed
  kForbidden,     // 403: not from this address, or not in this mode
  kNotFound,      // 404: no such model, version, path
  kNotAllowed,    // 405: another method is needed
  kTooLarge,      // 413
  kCancelled,     // 499: the client went away or gave up
  kInternal,      // 500
  kBusy,          // 503: the queue is full; another time it may work
  kUnready,       // 503: stopping, or being unloaded
  kExpired,       // 504: its timeout was over before it could run
};

struct [[nodiscard]] Fault {
  Cause cause = Cause::kNone;
  std::string message;
  bool ok() const { return cause == Cause::kNone; }
};

int http_status(Cause cause);
Fault fault_of(const Status& status);

template <class... Args>
Fault fault(Cause cause, fmt::format_string<Args...> format, Args&&... args) {
  return {cause, fmt::format(format, std::forward<Args>(args)...)};
}

// A value, or why there is none.
template <class T>
class [[nodiscard]] Reply {
 public:
  Reply(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Reply(Fault fault) : state_(std::in_place_index<1>, std::move(fault)) {}

  bool ok() const { return state_.index() == 0; }
  Fault fault() const { return ok() ? Fault() : std::get<1>(state_); }
  T& operator*() { return *std::get_if<0>(&state_); }
  const T& operator*() const { return *std::get_if<0>(&state_); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

 private:
  std::variant<T, Fault> state_;
};

}  // namespace vitrail::serve
