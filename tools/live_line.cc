// SPDX-License-Identifier: Apache-2.0
#include "tools/live_line.h"

namespace vellum {

void LiveLine::Show(const std::string& text) {
  *out_ << '\r' << text
        << std::string(width_ > text.size() ? width_ - text.size() : 0, ' ')
        << std::flush;
  width_ = text.size();
}

void LiveLine::Keep() {
  if (width_ > 0) *out_ << '\n';
  width_ = 0;
}

void LiveLine::Clear() {
  if (width_ == 0) return;
  *out_ << '\r' << std::string(width_, ' ') << '\r' << std::flush;
  width_ = 0;
}

}  // namespace vellum
