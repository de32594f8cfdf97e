// SPDX-License-Identifier: Apache-2.0
// What a tree looks like through the calls of an operating system: one line for
// each name, so that two readers of the same volume can be compared.
#pragma once

#include <cstdio>
#include <string>

namespace vellum {

struct ManifestOptions {
  // A directory's link count is counted (2 + subdirectories) instead of asked:
  // for a tree on a file system that has its own idea of it.
  bool count_links = false;
  // The content of a file is held against its name (stamps.h): "error:foreign"
  // when it is not its own.
  bool stamps = false;
};

// Tab-separated fields, names in byte order, a directory before its content:
//   path (%XX for all but printable ASCII), type (f d l p s b c), mode (octal),
//   uid, gid, links, size, device (major:minor), inode, access time,
//   modification time (both in nanoseconds), content
// Content: the SHA-256 of a file; of one with more than 64 MiB "blocks:" and
// the SHA-256 of its 64 KiB pieces that are not all zero, each behind its
// offset; the target of a symbolic link, encoded as a path; "error:N" with the
// errno where something could not be read; else "-".
// Reading leaves access times alone where the system lets it. Answers the
// number of errors.
size_t WriteManifest(const std::string& root, const ManifestOptions& options,
                     std::FILE* out);

}  // namespace vellum
