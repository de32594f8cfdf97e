// SPDX-License-Identifier: Apache-2.0
// The part of fsck that walks the tree: unlike Reader::Walk it goes on behind
// what is wrong. Private to media/udf.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "media/medium.h"
#include "media/udf/fsck.h"
#include "media/udf/reader.h"

namespace vellum::udf {

// Collects what fsck finds; the report keeps the first 1000.
class Findings {
 public:
  explicit Findings(FsckReport* report) : report_(report) {}
  void Add(uint64_t sector, std::string text);
  // Adds the error of `status`, if it has one.
  void AddIfError(uint64_t sector, const Status& status);

 private:
  FsckReport* const report_;
};

// Thread-safety: none. Everything passed in must outlive it.
class TreeCheck {
 public:
  TreeCheck(const Reader& reader, Medium* medium, bool check_data,
            FsckReport* report, Findings* findings);

  // Fills in the counts of the report.
  void Run();

  // Blocks that the tree and the fixed structures use.
  const std::vector<bool>& used() const { return used_; }
  // Names of non-directories.
  uint64_t file_names() const { return file_names_; }
  uint64_t largest_unique_id() const { return largest_unique_id_; }

 private:
  struct Directory {
    uint32_t icb = 0;
    uint32_t parent_icb = 0;
    uint64_t parent_unique_id = 0;
    FileEntry entry;
  };
  struct Links {
    uint32_t expected = 0;
    uint32_t found = 0;
  };

  uint64_t SectorOf(uint32_t block) const;
  // Follows a chain of descriptors once: one that several entries share would
  // otherwise be read for each of them.
  Result<FileEntry> ReadEntry(uint32_t icb);
  void Use(uint32_t block, uint32_t count, uint32_t owner);
  void CheckInode(uint32_t icb, const FileEntry& entry);
  void CheckData(const FileEntry& entry);
  void CheckDirectory(const Directory& directory);
  // One name; answers whether it is that of a subdirectory.
  bool CheckLink(const Directory& directory, const Fid& fid);
  void CheckParent(const Directory& directory, const Fid& fid);
  void CheckSecondLink(const Fid& fid);
  void CheckLinkCounts();
  void CheckUniqueIds();

  const Reader& reader_;
  const Geometry& geometry_;
  Medium* const medium_;
  const bool check_data_;
  FsckReport* const report_;
  Findings* const findings_;

  std::vector<bool> used_;
  std::vector<bool> followed_;  // by ReadEntry
  std::vector<bool> inodes_;    // blocks of the file entries seen
  std::vector<Directory> pending_;
  // Files that have, or should have, other than one name.
  std::unordered_map<uint32_t, Links> links_;
  std::vector<uint64_t> unique_ids_;
  uint64_t file_names_ = 0;
  uint64_t largest_unique_id_ = 0;
};

}  // namespace vellum::udf
