// SPDX-License-Identifier: Apache-2.0
// One line of a terminal that is written over.
#pragma once

#include <ostream>
#include <string>

namespace vellum {

// Thread-safety: one thread. Does not own the stream, which is a terminal.
class LiveLine {
 public:
  explicit LiveLine(std::ostream* out) : out_(out) {}

  void Show(const std::string& text);
  // Leaves the line as it is; what follows stands below.
  void Keep();
  // Takes the line away.
  void Clear();

 private:
  std::ostream* const out_;
  size_t width_ = 0;
};

}  // namespace vellum
