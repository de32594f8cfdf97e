// SPDX-License-Identifier: Apache-2.0
// A directory of its own for one test, removed with everything in it.
#pragma once

#include <string>
#include <string_view>

namespace vellum {

class TempDir {
 public:
  TempDir();  // aborts the test program when it cannot be made
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // path() + "/" + name
  std::string Sub(std::string_view name) const;

 private:
  std::string path_;
};

// Whole content of small files; both abort the test program on failure.
std::string ReadFileOrDie(const std::string& path);
void WriteFileOrDie(const std::string& path, std::string_view content);

}  // namespace vellum
