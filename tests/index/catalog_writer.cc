// SPDX-License-Identifier: Apache-2.0
// The process that catalog_fault_test kills: writes synced rows 1, 2, … to the
// catalog at argv[1] until it dies, and says so on stdout, one number a line.
#include <cstdio>
#include <string>

#include "index/catalog.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto catalog = vellum::Catalog::Open(argv[1], {});
  if (!catalog.ok()) {
    std::fprintf(stderr, "%s\n", catalog.error().ToString().c_str());
    return 1;
  }
  for (uint32_t i = 1;; ++i) {
    vellum::CatalogBatch batch;
    batch.PutRow("row", std::to_string(i), "value");
    batch.PutInode(1, i, vellum::InodeRecord());
    const vellum::Status status = (*catalog)->Write(batch, vellum::Sync::kYes);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      return 1;
    }
    std::printf("%u\n", i);
    if (std::fflush(stdout) != 0) return 1;
  }
}
