// SPDX-License-Identifier: Apache-2.0
// The few file operations that must be done in exactly one way.
#pragma once

#include <string>
#include <string_view>

#include "media/error.h"

namespace vellum {

// Owns a descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release();
  void Reset();

 private:
  int fd_ = -1;
};

// Errors of all: ErrnoError, naming the path.
Result<std::string> ReadWholeFile(const std::string& path);

// Replaces or makes `path`: after a crash at any instant it holds the old
// content or the new one, never a mixture. After an error either of the two;
// `path` + ".tmp" is used in between. REQUIRES: one writer of `path` at a time.
Status ReplaceFile(const std::string& path, std::string_view content);

// Makes the names in the directory durable.
Status SyncDirectory(const std::string& path);

}  // namespace vellum
