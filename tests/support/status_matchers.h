// SPDX-License-Identifier: Apache-2.0
// ASSERT_OK, EXPECT_OK, ASSERT_OK_AND_ASSIGN and HasErrc for Status and
// Result<T>; failures print the error's code and message.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "media/error.h"

namespace vellum {

inline const Error* ErrorOf(const Status& status) {
  return status.ok() ? nullptr : &status.error();
}
template <typename T>
const Error* ErrorOf(const Result<T>& result) {
  return result.ok() ? nullptr : &result.error();
}

template <typename T>
testing::AssertionResult IsOkPredicate(const char* expr, const T& value) {
  const Error* error = ErrorOf(value);
  if (error == nullptr) return testing::AssertionSuccess();
  return testing::AssertionFailure() << expr << "\n  " << error->ToString();
}

// Found by argument-dependent lookup: what gmock prints for these types.
inline void PrintTo(const Status& status, std::ostream* os) {
  *os << status.ToString();
}
template <typename T>
void PrintTo(const Result<T>& result, std::ostream* os) {
  *os << (result.ok() ? std::string("OK") : result.error().ToString());
}

MATCHER_P(HasErrc, code,
          std::string(negation ? "is not " : "is ") + ErrcName(code)) {
  const Error* error = ErrorOf(arg);
  if (error == nullptr) {
    *result_listener << "which is OK";
    return false;
  }
  *result_listener << "which is " << error->ToString();
  return error->code == code;
}

// The message of the error contains `text` (and there is an error).
MATCHER_P(MessageHas, text,
          std::string(negation ? "does not say \"" : "says \"") + text + "\"") {
  const Error* error = ErrorOf(arg);
  if (error == nullptr) {
    *result_listener << "which is OK";
    return false;
  }
  *result_listener << "which is " << error->ToString();
  return error->message.find(text) != std::string::npos;
}

}  // namespace vellum

#define ASSERT_OK(expr) ASSERT_PRED_FORMAT1(::vellum::IsOkPredicate, expr)
#define EXPECT_OK(expr) EXPECT_PRED_FORMAT1(::vellum::IsOkPredicate, expr)

#define ASSERT_OK_AND_ASSIGN_IMPL_(tmp, lhs, expr)                           \
  auto tmp = (expr);                                                         \
  ASSERT_TRUE(tmp.has_value()) << #expr << "\n  " << tmp.error().ToString(); \
  lhs = std::move(*tmp)

// ASSERT_OK_AND_ASSIGN(auto x, F()): x = value, or a fatal failure.
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_IMPL_(VELLUM_CONCAT(assert_macro_, __LINE__), lhs, expr)
