// SPDX-License-Identifier: Apache-2.0
// The kinds of path and the calls of conformance_test.cc.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <span>
#include <string>

namespace vellum {

inline constexpr uid_t kOwner = 1234;  // owns most of what a case has
inline constexpr uid_t kStranger = 5678;
inline constexpr gid_t kGroup = 4321;  // of what a case has
inline constexpr time_t kPast = 1000000000;

// What may stand at the path that a call gets.
struct Place {
  const char* name;
  const char* path;  // below the case's directory
  void (*make)(const std::string& r);
};

// A system call on path `p`; `r` is the case's directory. Below zero: errno.
struct Call {
  const char* name;
  long (*run)(const char* p, const std::string& r);
};

std::span<const Place> Places();
std::span<const Call> Calls();

// In one directory: what the calls name, and what `place` is about.
void Prepare(const std::string& r, const Place& place);

}  // namespace vellum
