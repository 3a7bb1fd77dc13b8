// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace vitrail {

// Groups of failures. Each maps to one exit status of the command line (see exit_status()).
enum class Code {
  kOk = 0,
  kCheckFailed,  // a verification was out of tolerance
  kUsage,        // the caller asked for something that makes no sense (bad option, bad profile)
  kBadInput,     // a file, tensor or image is not what it must be
  kUnavailable,  // this machine or build lacks what is needed
  kIo,           // reading or writing failed (full disk, read-only folder)
  kResource,     // a cap (--workspace, memory) is too small
  kCancelled,    // interrupted by the user
  kInternal,     // a defect in Vitrail
};

// The exit status that stands for a code: 0 good, 1 check failed, 2 usage, 3 bad input, 4 unavailable here,
// 130 cancelled.
int exit_status(Code code);

// Outcome of an operation that returns nothing. The message names the layer, the numbers and the way out.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same failure with `context: ` before its message; an ok status stays ok.
  Status with_context(const std::string& context) const {
    return ok() ? *this : Status(code_, context + ": " + message_);
  }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// A value or the reason why there is none. Reading the value of a failed result is undefined; test ok()
// first.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status() : std::get<1>(state_); }

  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace vitrail

#define VTL_CONCAT_INNER(a, b) a##b
#define VTL_CONCAT(a, b) VTL_CONCAT_INNER(a, b)

// Returns the failure of `expr` (a Status) from the enclosing function.
#define VTL_TRY(expr)                                                               \
  do {                                                                              \
    if (::vitrail::Status vtl_status = (expr); !vtl_status.ok()) return vtl_status; \
  } while (false)

// Declares or assigns `lhs` from `expr` (a Result), or returns its failure from the enclosing function.
#define VTL_ASSIGN(lhs, expr) VTL_ASSIGN_IMPL(VTL_CONCAT(vtl_result_, __LINE__), lhs, expr)
#define VTL_ASSIGN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                    \
  if (!tmp.ok()) return tmp.status();   \
  lhs = std::move(tmp).value()
