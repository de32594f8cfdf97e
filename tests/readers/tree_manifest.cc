// SPDX-License-Identifier: Apache-2.0
// Prints what a tree looks like; manifest.h says how.
//
// usage: tree_manifest [--count-links] [--stamps] DIR
// Exit status: 0 all was read, 1 something was not (it stands in its line).
#include <cstdio>
#include <cstring>

#include "tests/readers/manifest.h"

int main(int argc, char** argv) {
  vellum::ManifestOptions options;
  int at = 1;
  for (; at < argc && argv[at][0] == '-'; ++at) {
    if (std::strcmp(argv[at], "--count-links") == 0) options.count_links = true;
    if (std::strcmp(argv[at], "--stamps") == 0) options.stamps = true;
  }
  if (at + 1 != argc) {
    std::fprintf(stderr,
                 "usage: tree_manifest [--count-links] [--stamps] DIR\n");
    return 2;
  }
  return vellum::WriteManifest(argv[at], options, stdout) == 0 ? 0 : 1;
}
