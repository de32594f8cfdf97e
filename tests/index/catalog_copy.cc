// SPDX-License-Identifier: Apache-2.0
#include "tests/index/catalog_copy.h"

#include <utility>
#include <vector>

#include "tests/index/volume_fixture.h"

namespace vellum {

CatalogCopy::CatalogCopy(const Catalog& catalog, VolumeIndex index)
    : index_(index) {
  const Result<VolumeRecord> record = catalog.GetVolume(index);
  EXPECT_OK(record);
  if (record.ok()) batch_.PutVolume(*record);
  std::vector<InodeNumber> directories;
  EXPECT_OK(
      catalog.ForEachInode(index, [&](InodeNumber ino, InodeRecord&& rec) {
        if (rec.attr.type == udf::FileType::kDirectory)
          directories.push_back(ino);
        batch_.PutInode(index, ino, rec);
        return true;
      }));
  for (const InodeNumber dir : directories) {
    EXPECT_OK(catalog.ForEachDirent(index, dir, 0, [&](DirentRecord&& entry) {
      batch_.PutDirent(index, dir, entry);
      return true;
    }));
  }
  EXPECT_OK(catalog.ForEachChangeChunk(
      index, [&](uint32_t chunk, std::string_view value) {
        batch_.PutChangeChunk(index, chunk, value);
        return true;
      }));
  const Result<std::string> identity = catalog.GetRow("catalog", "identity");
  if (identity.ok()) batch_.PutRow("catalog", "identity", *identity);
  Result<std::optional<PendingBatch>> pending = catalog.GetPending(index);
  EXPECT_OK(pending);
  if (pending.ok()) pending_ = std::move(*pending);
}

std::unique_ptr<Catalog> CatalogCopy::Open() const {
  std::unique_ptr<Catalog> catalog = MemoryCatalog();
  EXPECT_OK(catalog->Write(batch_, Sync::kNo));
  if (pending_) {
    EXPECT_OK(catalog->PutPending(index_, *pending_));
  }
  return catalog;
}

}  // namespace vellum
