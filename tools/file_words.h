// SPDX-License-Identifier: Apache-2.0
// The options of copy and restore about single files, and the command words
// that they stand for.
#pragma once

#include <string>
#include <vector>

#include "media/error.h"

namespace CLI {
class App;
}  // namespace CLI

namespace vellum {

struct FileArguments {
  std::vector<std::string> paths;  // empty: it is about the whole volume
  bool recursive = false;
  std::string select;
  std::string since;

  bool given() const { return !paths.empty(); }
};

// Adds --files, -r, --select and --since.
void AddFileOptions(CLI::App* command, FileArguments* files);

// Appends the words to those of a command about `volume` that is mounted below
// `mount`. A path below the mount point is taken as what it is in the volume:
// kInvalidArgument when it is in another one; so is a relative one, where the
// working directory is there. So are options without --files.
Status AddFileWords(const FileArguments& files, const std::string& mount,
                    const std::string& volume, std::vector<std::string>* words);

// Where files go: VOLUME:/PATH of a path below the mount point that is absolute
// or begins with "." or ".."; anything else as it is.
std::string FileTarget(const std::string& mount, const std::string& target);

}  // namespace vellum
