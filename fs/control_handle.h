// SPDX-License-Identifier: Apache-2.0
// One open control file: what its reader sees.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "media/mutex.h"

namespace vellum {

// Content is fixed at open, until a write: then it is the command's answer.
//
// A reader may go on from where the write left the file position (a shell's
// `exec 3<>command; echo … >&3; cat <&3`), or read from offset 0 (a program's
// pread(2)). So the answer stands at both places: which of them a reader means
// is decided by its first read behind the write.
//
// Thread-safety: every method may be called concurrently.
class ControlHandle {
 public:
  explicit ControlHandle(std::string content) : content_(std::move(content)) {}

  // `position`: where the write left the file position, in bytes.
  void SetAnswer(std::string answer, uint64_t position) EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    content_ = std::move(answer);
    position_ = position;
    base_ = 0;
    decided_ = false;
  }

  std::string Read(uint64_t offset, size_t size) EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (!decided_ || offset < base_) {
      decided_ = true;
      base_ = offset == position_ ? position_ : 0;
    }
    const uint64_t begin = offset - base_;
    return begin >= content_.size() ? std::string()
                                    : content_.substr(begin, size);
  }

 private:
  Mutex mu_;  // a leaf
  std::string content_ GUARDED_BY(mu_);
  uint64_t position_ GUARDED_BY(mu_) = 0;
  uint64_t base_ GUARDED_BY(mu_) = 0;
  bool decided_ GUARDED_BY(mu_) = true;
};

}  // namespace vellum
