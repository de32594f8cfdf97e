// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/use_volume.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "media/udf/bytes.h"
#include "tests/fuzz/input.h"
#include "tests/index/volume_fixture.h"

namespace vellum::fuzz {
namespace {

constexpr size_t kMaxInodes = 200;

struct Name {
  InodeNumber dir = 0;
  DirItem item;
};

// Every name that can be reached, up to a bound: a hostile tree may be large,
// but not endless.
std::vector<Name> ReadTree(const Volume& volume) {
  std::vector<Name> names;
  std::vector<InodeNumber> directories = {volume.root()};
  std::set<InodeNumber> seen = {volume.root()};
  while (!directories.empty() && names.size() < kMaxInodes) {
    const InodeNumber dir = directories.back();
    directories.pop_back();
    CheckReported(volume.GetAttr(dir).status());
    CheckReported(volume.ParentOf(dir).status());
    CheckReported(volume.ReadDir(dir, 0, [&](const DirItem& item) {
      names.push_back({dir, item});
      if (item.type == udf::FileType::kDirectory &&
          seen.insert(item.ino).second) {
        directories.push_back(item.ino);
      }
      return names.size() < kMaxInodes;
    }));
  }
  return names;
}

void ReadContents(Volume* volume, const std::vector<Name>& names) {
  Bytes buffer(8192);
  for (const Name& name : names) {
    CheckReported(volume->Lookup(name.dir, name.item.name).status());
    const Result<Attr> attr = volume->GetAttr(name.item.ino);
    CheckReported(attr.status());
    CheckReported(volume->ReadLink(name.item.ino).status());
    CheckReported(volume->ListXattr(name.item.ino).status());
    if (!attr.ok()) continue;
    for (const uint64_t at : {uint64_t{0}, attr->attr.size / 2}) {
      const Result<size_t> got = volume->Read(name.item.ino, at, buffer);
      CheckReported(got.status());
      VELLUM_CHECK(!got.ok() || *got <= buffer.size());
    }
    CheckReported(volume->Seek(name.item.ino, 0, true).status());
    CheckReported(volume->Seek(name.item.ino, 0, false).status());
  }
}

void Operate(Volume* volume, const Name& name, uint8_t operation) {
  const InodeNumber root = volume->root();
  const InodeNumber ino = name.item.ino;
  const std::string fresh = "new " + std::to_string(operation);
  switch (operation % 12) {
    case 0:
      CheckReported(volume->Write(ino, operation * 100, udf::AsBytes("written"))
                        .status());
      break;
    case 1:
      CheckReported(volume->Unlink(name.dir, name.item.name));
      break;
    case 2:
      CheckReported(volume->Rmdir(name.dir, name.item.name));
      break;
    case 3:
      CheckReported(volume->Rename(name.dir, name.item.name, root, fresh,
                                   RenameMode::kReplace));
      break;
    case 4: {
      AttrChange change;
      change.size = operation * uint64_t{1000};
      CheckReported(volume->SetAttr(ino, change).status());
      break;
    }
    case 5:
      CheckReported(volume->Create(name.dir, fresh, {}).status());
      break;
    case 6: {
      NewInode directory;
      directory.type = udf::FileType::kDirectory;
      CheckReported(volume->Create(root, fresh, directory).status());
      break;
    }
    case 7:
      CheckReported(volume->Link(ino, root, fresh).status());
      break;
    case 8:
      CheckReported(volume->SetXattr(ino, "user.x", "y", 0));
      break;
    case 9:
      CheckReported(
          volume->Append(ino, udf::AsBytes(std::string(9000, 'a'))).status());
      break;
    case 10: {
      AttrChange change;
      change.mode = 0600;
      change.mtime = TimeSpec{1, 2};
      CheckReported(volume->SetAttr(ino, change).status());
      break;
    }
    default:
      CheckReported(volume->Sync());
      break;
  }
}

}  // namespace

Place NewPlace() {
  constexpr VolumeIndex kVolumesPerCatalog = 50;
  static std::unique_ptr<Catalog> catalog;
  static VolumeIndex used = 0;
  if (catalog == nullptr || used == kVolumesPerCatalog) {
    catalog = MemoryCatalog();
    used = 0;
  }
  return {catalog.get(), ++used};
}

void UseVolume(Volume* volume, ConstByteSpan operations) {
  const std::vector<Name> names = ReadTree(*volume);
  ReadContents(volume, names);
  size_t next = 0;
  for (const std::byte operation : operations) {
    if (names.empty()) break;
    const uint8_t number = std::to_integer<uint8_t>(operation);
    next = (next + 1 + number / 12) % names.size();
    Operate(volume, names[next], number);
  }
  CheckReported(volume->Sync());
  CheckReported(volume->Detach());
}

}  // namespace vellum::fuzz
