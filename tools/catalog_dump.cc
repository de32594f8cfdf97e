// SPDX-License-Identifier: Apache-2.0
#include "tools/catalog_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fs/tables.h"

namespace vellum {
namespace {

const char* TypeName(udf::FileType type) {
  switch (type) {
    case udf::FileType::kDirectory:
      return "directory";
    case udf::FileType::kRegular:
      return "file";
    case udf::FileType::kBlockDevice:
      return "block device";
    case udf::FileType::kCharDevice:
      return "character device";
    case udf::FileType::kFifo:
      return "fifo";
    case udf::FileType::kSocket:
      return "socket";
    case udf::FileType::kSymlink:
      return "symlink";
  }
  return "unknown";
}

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return hex;
}

// Nothing is lost, whatever the bytes are.
Json Text(std::string_view bytes) {
  Json text = bytes;
  try {
    (void)text.dump();
  } catch (const Json::type_error&) {  // the only way to ask it
    return {{"hex", Hex(bytes)}};
  }
  return text;
}

Json Time(const TimeSpec& time) {
  return fmt::format("{}.{:09}", time.sec, time.nsec);
}

Json InodeJson(const InodeRecord& inode) {
  const udf::InodeAttr& attr = inode.attr;
  Json json = {{"mode", fmt::format("{:04o}", attr.mode)},
               {"uid", attr.uid},
               {"gid", attr.gid},
               {"links", attr.links},
               {"size", attr.size},
               {"unique_id", attr.unique_id},
               {"atime", Time(attr.atime)},
               {"mtime", Time(attr.mtime)},
               {"ctime", Time(attr.ctime)},
               {"btime", Time(attr.btime)}};
  if (attr.type == udf::FileType::kBlockDevice ||
      attr.type == udf::FileType::kCharDevice) {
    json["device"] = fmt::format("{}:{}", attr.major, attr.minor);
  }
  if (attr.type == udf::FileType::kSymlink) {
    json["target"] = Text(inode.symlink_target);
  }
  for (const auto& [name, value] : attr.xattrs) {
    json["xattrs"].push_back({Text(name), Text(value)});
  }
  if (inode.inline_data) json["inline"] = true;
  for (const udf::Extent& extent : inode.extents) {
    Json run = {extent.file_sector, extent.block, extent.count};
    if (extent.unwritten) run.push_back("unwritten");
    json["extents"].push_back(std::move(run));
  }
  if (!inode.aed_blocks.empty()) json["aed_blocks"] = inode.aed_blocks;
  return json;
}

class Dumper {
 public:
  Dumper(const Catalog& catalog, const DumpOptions& options,
         const std::function<void(const Json&)>& line)
      : catalog_(catalog), options_(options), line_(line) {}

  Status Volume(const VolumeRecord& record) {
    VolumeLine(record);
    if (options_.all) RETURN_IF_ERROR(ChangeMap(record));
    if (record.tree != TreeState::kValid) return Status::Ok();
    volume_ = &record;
    linked_.clear();
    inodes_ = 0;
    RETURN_IF_ERROR(Tree());
    uint64_t stored = 0;
    RETURN_IF_ERROR(
        catalog_.ForEachInode(record.index, [&](InodeNumber, InodeRecord&&) {
          ++stored;
          return true;
        }));
    if (stored != inodes_) {
      return Status(Errc::kCorruption,
                    fmt::format("volume {}: {} inodes, but the names lead to "
                                "{}",
                                record.id, stored, inodes_));
    }
    return Status::Ok();
  }

 private:
  static void AddCounts(const VolumeRecord& record, Json* json) {
    const udf::Geometry& g = record.geometry;
    (*json)["geometry"] = {
        g.sectors,     g.ring_first,      g.ring_sectors,     g.log_first,
        g.log_sectors, g.partition_first, g.partition_blocks, g.bitmap_blocks,
        g.root_block,  g.first_free_block};
    (*json)["used_blocks"] = record.used_blocks;
    (*json)["files"] = record.files;
    (*json)["directories"] = record.directories;
    (*json)["next_unique_id"] = record.next_unique_id;
  }

  void VolumeLine(const VolumeRecord& record) {
    const bool backup = record.role == udf::Role::kBackup;
    Json json = {{"volume", Text(record.id)},
                 {"medium", Text(record.medium)},
                 {"medium_uuid", record.medium_uuid},
                 {"format_uuid", record.format_uuid},
                 {"role", RoleName(record.role)}};
    if (backup) {
      json["owner"] = Text(record.owner_id);
      json["owner_uuid"] = record.owner_uuid;
      json["state"] = SlotStateName(record.state);
      json["copied"] = Time(record.copied);
    }
    json["generation"] = record.generation.number;
    json["threshold"] = record.threshold;
    // What a copy that broke off was to write is on no medium.
    if (record.state != udf::SlotState::kIncomplete) AddCounts(record, &json);
    line_(json);
    if (!options_.all) return;
    line_({{"volume", Text(record.id)},
           {"catalog",
            {{"index", record.index},
             {"tree", record.tree == TreeState::kValid      ? "valid"
                      : record.tree == TreeState::kScanning ? "scanning"
                                                            : "none"},
             {"slot_state", SlotStateName(record.state)},
             {"lineage", fmt::format("{:016x}", record.generation.lineage)},
             {"record_crc", record.record_crc},
             {"change_floor", record.change_floor},
             {"location", Text(record.location)},
             {"forgotten", record.forgotten}}}});
  }

  Status ChangeMap(const VolumeRecord& record) {
    return catalog_.ForEachChangeChunk(
        record.index, [&](uint32_t chunk, std::string_view value) {
          line_({{"volume", Text(record.id)},
                 {"changes", chunk},
                 {"runs", Hex(value)}});
          return true;
        });
  }

  // A name that waits for its turn, the last one first.
  struct Waiting {
    std::string path;
    InodeNumber ino = 0;
    InodeNumber parent = 0;
    uint32_t fid_offset = 0;
  };

  Status Tree() {
    std::vector<Waiting> waiting;
    const InodeNumber root = volume_->geometry.root_block;
    waiting.push_back({"/", root, root, 0});
    while (!waiting.empty()) {
      const Waiting name = std::move(waiting.back());
      waiting.pop_back();
      ASSIGN_OR_RETURN(const InodeRecord inode,
                       catalog_.GetInode(volume_->index, name.ino));
      const bool directory = inode.attr.type == udf::FileType::kDirectory;
      if (directory && inode.parent != name.parent) {
        return Status(
            Errc::kCorruption,
            fmt::format("volume {}: {} has the parent {} instead of "
                        "{}",
                        volume_->id, name.path, inode.parent, name.parent));
      }
      if (directory || inode.attr.links == 1 ||
          linked_.insert(name.ino).second) {
        ++inodes_;
      }
      Json json = {{"volume", Text(volume_->id)},
                   {"path", Text(name.path)},
                   {"type", TypeName(inode.attr.type)},
                   {"inode", name.ino},
                   {"fid_offset", name.fid_offset}};
      json.update(InodeJson(inode));
      line_(json);
      if (directory) RETURN_IF_ERROR(Children(name, &waiting));
    }
    return Status::Ok();
  }

  Status Children(const Waiting& directory, std::vector<Waiting>* waiting) {
    const std::string base =
        directory.path == "/" ? directory.path : directory.path + "/";
    const auto first = static_cast<std::ptrdiff_t>(waiting->size());
    RETURN_IF_ERROR(catalog_.ForEachDirent(
        volume_->index, directory.ino, 0, [&](DirentRecord&& entry) {
          waiting->push_back(
              {base + entry.name, entry.ino, directory.ino, entry.fid_offset});
          return true;
        }));
    std::sort(
        waiting->begin() + first, waiting->end(),
        [](const Waiting& a, const Waiting& b) { return a.path > b.path; });
    return Status::Ok();
  }

  const Catalog& catalog_;
  const DumpOptions& options_;
  const std::function<void(const Json&)>& line_;
  const VolumeRecord* volume_ = nullptr;
  std::unordered_set<InodeNumber> linked_;  // visited, with several names
  uint64_t inodes_ = 0;                     // visited
};

}  // namespace

Status DumpCatalog(const Catalog& catalog, const DumpOptions& options,
                   const std::function<void(const Json&)>& line) {
  ASSIGN_OR_RETURN(std::vector<VolumeRecord> volumes, catalog.Volumes());
  std::sort(volumes.begin(), volumes.end(),
            [](const VolumeRecord& a, const VolumeRecord& b) {
              return std::pair(a.id, a.index) < std::pair(b.id, b.index);
            });
  Dumper dumper(catalog, options, line);
  for (const VolumeRecord& volume : volumes) {
    // What was formatted anew is in the catalog for its number only.
    if (volume.forgotten && !options.all) continue;
    RETURN_IF_ERROR(dumper.Volume(volume));
  }
  return Status::Ok();
}

}  // namespace vellum
