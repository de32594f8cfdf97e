// SPDX-License-Identifier: Apache-2.0
#include "tests/copy/fault_starts.h"

#include <random>
#include <utility>

namespace vellum {

std::string RandomText(uint64_t seed, size_t size) {
  std::mt19937_64 rng(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(rng());
  return text;
}

Status PutFirst(FaultLab& lab, const std::string& volume) {
  RETURN_IF_ERROR(lab.Put(volume, "/a", RandomText(1, 90'000)));
  RETURN_IF_ERROR(lab.Put(volume, "/b", RandomText(2, 900)));
  RETURN_IF_ERROR(lab.Put(volume, "/d/c", RandomText(3, 70'000)));
  return lab.Put(volume, "/d/e", "");
}
Status PutSecond(FaultLab& lab, const std::string& volume) {
  RETURN_IF_ERROR(lab.Put(volume, "/a", RandomText(4, 95'000)));
  RETURN_IF_ERROR(lab.Put(volume, "/n", RandomText(5, 66'000)));
  return lab.Unlink(volume, "b");
}

FileTreeText Empty() { return {{"/", "dir"}}; }
FileTreeText First() {
  return {{"/", "dir"},
          {"/a", RandomText(1, 90'000)},
          {"/b", RandomText(2, 900)},
          {"/d", "dir"},
          {"/d/c", RandomText(3, 70'000)},
          {"/d/e", ""}};
}
FileTreeText Second() {
  FileTreeText tree = First();
  tree["/a"] = RandomText(4, 95'000);
  tree["/n"] = RandomText(5, 66'000);
  tree.erase("/b");
  return tree;
}
FileTreeText Both() {
  FileTreeText tree = Second();
  tree["/b"] = RandomText(2, 900);
  return tree;
}

Status MakeVolume(FaultLab& lab, int medium, const std::string& id) {
  FormatRequest request;
  request.medium = FaultLab::Tag(medium);
  request.volume_id = id;
  return Format(lab.archive(), request).status();
}

CopyRequest CopyOf(CopyMode mode, const std::string& target) {
  CopyRequest request;
  request.source = "PRIM";
  request.mode = mode;
  request.target = target;
  return request;
}
CopyRequest CopyOfFiles(const std::string& target) {
  CopyRequest request = CopyOf(CopyMode::kFiles, target);
  request.files.paths = {"/"};
  request.files.recursive = true;
  return request;
}

std::function<Status(FaultLab&)> Copying(const CopyRequest& request) {
  return [request](FaultLab& lab) {
    return lab.Finish(lab.jobs().Submit(request));
  };
}

Status OnePrimary(FaultLab& lab) {
  RETURN_IF_ERROR(MakeVolume(lab, 1, "PRIM"));
  return PutFirst(lab, "PRIM");
}
Status OneBackup(FaultLab& lab) {
  RETURN_IF_ERROR(OnePrimary(lab));
  return Copying(CopyOf(CopyMode::kImage, "V00002"))(lab);
}
Status OldBackup(FaultLab& lab) {
  RETURN_IF_ERROR(OneBackup(lab));
  return PutSecond(lab, "PRIM");
}
Status TwoOldBackups(FaultLab& lab) {
  RETURN_IF_ERROR(OneBackup(lab));
  RETURN_IF_ERROR(Copying(CopyOf(CopyMode::kImage, "V00003"))(lab));
  return PutSecond(lab, "PRIM");
}

Allowed OneOf(std::vector<FileTreeText> trees) {
  Allowed allowed;
  allowed.trees = std::move(trees);
  return allowed;
}

}  // namespace vellum
