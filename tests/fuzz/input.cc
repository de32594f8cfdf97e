// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/input.h"

#include <cctype>
#include <cstdio>

namespace vellum::fuzz {
namespace {

// Its number stands behind a blank.
constexpr std::string_view kPlaces[] = {
    "sector", "sectors", "block",   "blocks", "byte",  "offset",
    "line",   "entry",   "element", "region", "inode", "directory"};

bool IsIn(std::string_view text, size_t at, int (*kind)(int)) {
  return at < text.size() && kind(static_cast<unsigned char>(text[at])) != 0;
}

}  // namespace

bool NamesPlace(std::string_view text) {
  for (const std::string_view word : kPlaces) {
    for (size_t at = text.find(word); at != text.npos;
         at = text.find(word, at + 1)) {
      const size_t end = at + word.size();
      const bool begins = at == 0 || !IsIn(text, at - 1, std::isalpha);
      if (begins && IsIn(text, end, std::isblank) &&
          IsIn(text, end + 1, std::isdigit)) {
        return true;
      }
    }
  }
  return false;
}

void CheckSaid(const Status& status) {
  if (status.ok()) return;
  VELLUM_CHECK(!status.error().message.empty());
  VELLUM_CHECK(status.error().code != Errc::kInternal);
}

void CheckReported(const Status& status) {
  CheckSaid(status);
  if (!status.Is(Errc::kCorruption)) return;
  const bool located = NamesPlace(status.error().message);
  if (!located) {
    std::fprintf(stderr, "where? %s\n", status.error().message.c_str());
  }
  VELLUM_CHECK(located);
}

}  // namespace vellum::fuzz
