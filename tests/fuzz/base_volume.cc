// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/base_volume.h"

#include <set>
#include <string>

#include "index/volume.h"
#include "media/udf/bytes.h"
#include "media/udf/format.h"
#include "media/udf/reader.h"
#include "tests/fuzz/checked.h"
#include "tests/index/volume_fixture.h"

namespace vellum::fuzz {
namespace {

constexpr uint64_t kMoreSectors = 1024;

InodeNumber Make(Volume* volume, InodeNumber dir, const std::string& name,
                 udf::FileType type, const std::string& content = "") {
  NewInode inode;
  inode.type = type;
  inode.mode = type == udf::FileType::kDirectory ? 0755 : 0644;
  if (type == udf::FileType::kSymlink) inode.symlink_target = content;
  const Attr attr = Value(volume->Create(dir, name, inode));
  if (type == udf::FileType::kRegular && !content.empty()) {
    Value(volume->Write(attr.ino, 0, udf::AsBytes(content)));
  }
  return attr.ino;
}

void BuildTree(Volume* volume) {
  using udf::FileType;
  const InodeNumber root = volume->root();
  const InodeNumber dir = Make(volume, root, "dir", FileType::kDirectory);
  const InodeNumber deep = Make(volume, dir, "deep", FileType::kDirectory);
  const InodeNumber inl =
      Make(volume, root, "inline", FileType::kRegular, "hello");
  Make(volume, dir, "data", FileType::kRegular, std::string(100'000, 'd'));
  Make(volume, root, "link", FileType::kSymlink, "dir//deep/x");
  Make(volume, deep, "fifo", FileType::kFifo);
  Check(volume->Link(inl, deep, "second name").status());
  Make(volume, deep, std::string(255, 'n'), FileType::kRegular);
  Make(volume, deep, "\xE6\x97\xA5", FileType::kRegular, "utf-16");
  Check(volume->SetXattr(inl, "user.key", "value", 0));
  // 300 extents: the entry and two allocation extent descriptors.
  const InodeNumber chain = Make(volume, dir, "chain", FileType::kRegular);
  for (uint64_t i = 0; i < 300; ++i) {
    Value(volume->Write(chain, i * 2 * kSectorSize, udf::AsBytes("x")));
  }
}

}  // namespace

PatchPlaces FindPlaces(MemoryMedium* medium, const udf::Geometry& g) {
  PatchPlaces places;
  std::vector<uint64_t>& list = places.interesting;
  const auto reader = Value(udf::Reader::Open(medium));
  udf::Reader::Visitor visitor;
  visitor.inode = [&](uint32_t icb, const udf::FileEntry& entry) {
    list.push_back(g.Sector(icb));
    for (const uint32_t block : entry.aed_blocks) {
      list.push_back(g.Sector(block));
    }
    if (entry.attr.type == udf::FileType::kDirectory) {
      const udf::Extent& extent = entry.extents.at(0);
      places.directories.push_back({g.Sector(extent.block), extent.count});
      list.push_back(g.Sector(extent.block));
    }
    return Status::Ok();
  };
  Check(reader->Walk(visitor));
  for (uint64_t i = 0; i < 8; ++i) list.push_back(udf::kMainVdsSector + i);
  for (uint64_t i = 0; i < 6; ++i) list.push_back(g.reserve_vds() + i);
  for (const uint64_t sector :
       {uint64_t{16}, uint64_t{17}, uint64_t{udf::kLvidSector},
        uint64_t{udf::kAnchorSector}, g.sectors - 257, g.sectors - 1,
        uint64_t{udf::kSlotASector}, uint64_t{udf::kSlotBSector}, g.Sector(0),
        g.Sector(udf::kBitmapBlock), uint64_t{g.log_first}}) {
    list.push_back(sector);
  }
  // The start of the ring: headers, lists, images.
  for (uint64_t i = 0; i < 6; ++i) {
    list.push_back(g.ring_first + i * kRegionSectors);
    list.push_back(g.ring_first + i * kRegionSectors + 1);
    list.push_back(g.ring_first + i * kRegionSectors + 2);
  }
  places.ring = {g.ring_first, g.ring_sectors};
  VELLUM_CHECK(list.size() < 255);
  return places;
}

BaseVolume MakeBase(const std::string& volume_id, uint64_t sectors) {
  BaseVolume base;
  MemoryMedium medium(sectors);
  medium.AbortOutside();
  udf::FormatOptions format;
  format.volume_id = volume_id;
  const udf::ControlSlot slot = Value(udf::FormatVolume(medium, format));
  base.geometry = Value(udf::ReadDescription(medium)).geometry;

  const std::unique_ptr<Catalog> catalog = MemoryCatalog();
  VolumeOptions options;
  bool keep = false;
  options.on_commit_step = [&](CommitStep step) {
    if (keep && step == CommitStep::kRecordFlushed)
      base.pending = medium.Clone();
    return Status::Ok();
  };
  Volume volume(catalog.get(), RecordFor(slot, base.geometry, 1), options);
  Check(volume.Attach(&medium));
  BuildTree(&volume);
  Check(volume.Sync());
  const Attr dir = Value(volume.Lookup(volume.root(), "dir"));
  Make(&volume, dir.ino, "late", udf::FileType::kRegular, "late");
  keep = true;
  Check(volume.Sync());
  keep = false;
  Check(volume.Detach());
  VELLUM_CHECK(base.pending != nullptr);

  base.clean = medium.Clone();
  base.places = FindPlaces(base.clean.get(), base.geometry);
  base.backup = medium.Clone();
  udf::ControlSlot copy = Value(udf::ReadControlSlot(*base.backup));
  copy.role = udf::Role::kBackup;
  copy.state = udf::SlotState::kComplete;
  copy.owner_id = copy.volume_id;
  copy.owner_uuid = copy.medium_uuid;
  copy.volume_id = volume_id + "-COPY";
  copy.medium_uuid = udf::NewUuid();
  copy.threshold = 99;
  Check(udf::WriteControlSlot(*base.backup, &copy));
  return base;
}

const BaseVolume& Base() {
  static const BaseVolume kBase = MakeBase("HOSTILE", udf::kMinVolumeSectors);
  return kBase;
}

const BaseVolume& LargerBase() {
  static const BaseVolume kBase =
      MakeBase("LARGER", udf::kMinVolumeSectors + kMoreSectors);
  return kBase;
}

std::unique_ptr<MemoryMedium> CutOff(const MemoryMedium& larger,
                                     uint16_t sectors) {
  std::unique_ptr<MemoryMedium> medium = larger.Clone();
  medium->CutTo(udf::kMinVolumeSectors + sectors % kMoreSectors);
  return medium;
}

}  // namespace vellum::fuzz
