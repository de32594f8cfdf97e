// SPDX-License-Identifier: Apache-2.0
// Status and Result<T>: how every layer reports failure. Bottom of the graph.
//
// Thread-safety: values; no shared state.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace vellum {

// One code per thing that a caller may do differently about it. Only
// fs/errno_map.cc turns a code into an errno.
enum class Errc {
  kNotFound,         // no such file, volume, job, element
  kExists,           // name taken, medium holds data
  kInvalidArgument,  // bad input; the message names the mistake
  kNotDirectory,
  kIsDirectory,
  kNotEmpty,
  kReadOnly,        // the volume's role forbids changes
  kWriteProtected,  // the medium forbids changes
  kAccessDenied,    // open of a backup (I2)
  kNotPermitted,    // operation that this object never allows
  kNoSpace,
  kNoMedium,  // exported, removed or missing medium
  kNotReady,  // becoming ready; try again
  kOffline,   // drive or library offline
  kBusy,
  kCrossVolume,  // link or rename from one volume to another
  kNameTooLong,
  kTooManyLinks,
  kTooLarge,      // file size or attribute size beyond the format
  kNoAttribute,   // no such extended attribute
  kOutOfRange,    // caller's buffer too small
  kStale,         // the inode is gone
  kIncompatible,  // format version or medium class that we cannot use
  kCorruption,    // structure on the medium is wrong
  kDeviceError,   // the device reported an error
  kTimedOut,
  kInterrupted,  // the caller gave up waiting
  kAborted,      // cancelled, or overtaken by another event
  kNotSupported,
  kInternal,
};

// Name of the code in upper case words, for messages and JSON ("NO_SPACE").
const char* ErrcName(Errc code);

struct Error {
  Errc code = Errc::kInternal;
  // Context first: "drive 2 (0x0101) V00003L1: read sector 4096: ...".
  std::string message;

  std::string ToString() const;
};

// Success or an Error. [[nodiscard]]: a dropped Status does not compile under
// -Werror; IgnoreError("why") is the only way to drop one.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Errc code, std::string message)
      : error_(Error{code, std::move(message)}) {}
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  static Status Ok() { return Status(); }
  bool ok() const { return !error_.has_value(); }
  // REQUIRES: !ok()
  const Error& error() const { return *error_; }
  Errc code() const { return error_->code; }
  bool Is(Errc code) const { return error_ && error_->code == code; }
  std::string ToString() const { return ok() ? "OK" : error_->ToString(); }
  // The same error with `context: ` before its message; Ok stays Ok.
  Status WithContext(const std::string& context) const;
  void IgnoreError(const char* /*why*/) const {}

 private:
  std::optional<Error> error_;
};

// A value or an Error, with the member names of std::expected.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}  // NOLINT
  Result(Error error)
      : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT
  Result(const Status& status)  // NOLINT: implicit. REQUIRES: !status.ok()
      : v_(std::in_place_index<1>, status.error()) {}
  Result(Errc code, std::string message)
      : v_(std::in_place_index<1>, Error{code, std::move(message)}) {}

  bool has_value() const { return v_.index() == 0; }
  bool ok() const { return has_value(); }
  explicit operator bool() const { return has_value(); }
  // REQUIRES: has_value()
  T& value() & { return std::get<0>(v_); }
  const T& value() const& { return std::get<0>(v_); }
  T&& value() && { return std::get<0>(std::move(v_)); }
  T& operator*() & { return std::get<0>(v_); }
  const T& operator*() const& { return std::get<0>(v_); }
  T&& operator*() && { return std::get<0>(std::move(v_)); }
  T* operator->() { return &std::get<0>(v_); }
  const T* operator->() const { return &std::get<0>(v_); }
  // REQUIRES: !has_value()
  const Error& error() const { return std::get<1>(v_); }
  Status status() const { return ok() ? Status() : Status(error()); }

 private:
  std::variant<T, Error> v_;
};

// `errno` of a failed system call as an Error; the one place that maps it.
// `context` names the call and the object ("open DIR/media/V1.img").
Error ErrnoError(const std::string& context, int err);

[[noreturn]] void CheckFailed(const char* expr, const char* file, int line);

}  // namespace vellum

// Broken invariants abort in every build: continuing could damage a volume.
#define VELLUM_CHECK(expr)                              \
  do {                                                  \
    if (!(expr)) {                                      \
      ::vellum::CheckFailed(#expr, __FILE__, __LINE__); \
    }                                                   \
  } while (false)

#define VELLUM_CONCAT_(a, b) a##b
#define VELLUM_CONCAT(a, b) VELLUM_CONCAT_(a, b)

#define RETURN_IF_ERROR_IMPL_(tmp, expr) \
  do {                                   \
    ::vellum::Status tmp = (expr);       \
    if (!tmp.ok()) return tmp;           \
  } while (false)

// Returns from the enclosing function with the error, if there is one.
#define RETURN_IF_ERROR(expr) \
  RETURN_IF_ERROR_IMPL_(VELLUM_CONCAT(status_macro_, __COUNTER__), expr)

#define ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.has_value()) return tmp.error();    \
  lhs = std::move(*tmp)

// ASSIGN_OR_RETURN(auto x, F()): x = value, or return the error.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL_(VELLUM_CONCAT(result_macro_, __COUNTER__), lhs, expr)
