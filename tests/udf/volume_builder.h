// SPDX-License-Identifier: Apache-2.0
// Builds a volume with a given tree straight from the codec: without journal,
// allocator or Volume, so that it tests format, codec, reader and fsck alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "media/medium.h"
#include "media/udf/codec.h"
#include "media/udf/control.h"
#include "media/udf/layout.h"

namespace vellum::udf {

// How the content of a file is laid out.
enum class Shape {
  kInline,
  kOneExtent,
  kScattered,  // one extent for each sector, never adjacent
  kSparse,     // every other sector is a hole (that content is dropped), the
               // last extent unwritten
};

// Any failure aborts the test program: a builder that fails is a broken test.
class VolumeBuilder {
 public:
  // Formats the medium.
  VolumeBuilder(Medium* medium, const std::string& volume_id);

  uint32_t root() const { return geometry_.root_block; }
  const Geometry& geometry() const { return geometry_; }

  // Each answers the ICB's block.
  uint32_t AddDirectory(uint32_t parent, const std::string& name);
  uint32_t AddFile(uint32_t parent, const std::string& name,
                   const Bytes& content, Shape shape);
  uint32_t AddSymlink(uint32_t parent, const std::string& name,
                      const std::string& target);
  uint32_t AddDevice(uint32_t parent, const std::string& name, FileType type,
                     uint32_t major, uint32_t minor);
  // One more name for a file.
  void AddLink(uint32_t parent, const std::string& name, uint32_t icb);

  // Takes the entry out by enlarging the one before it, which may be that of
  // the parent.
  void Swallow(uint32_t directory, const std::string& name);

  // Attributes to change before Finish; links and size of a directory are set
  // by Finish.
  InodeAttr& attr(uint32_t icb) { return nodes_.at(icb).entry.attr; }

  uint32_t Allocate(uint32_t blocks);

  // What a test breaks while everything else, checksums included, stays right.
  struct Hooks {
    std::function<void(uint32_t icb, FileEntry*)> entry;
    std::function<void(uint32_t directory, Fid*)> fid;
    std::function<void(Bytes* content)> directory_content;  // of every one
    std::function<void(Lvid*)> lvid;
    std::function<void(std::vector<bool>* used)> bitmap;
    std::function<void(ControlSlot*)> slot;
  };
  // Writes directories, file entries, bitmap, LVID and slot.
  void Finish(const Hooks& hooks = {});

  // Path -> content of every regular file, in the bytes that a reader sees.
  const std::map<std::string, Bytes>& files() const { return files_; }

 private:
  struct Child {
    Fid fid;
    size_t extra = 0;  // swallowed behind it
  };
  struct Node {
    FileEntry entry;
    uint32_t parent = 0;
    std::string path;
    std::vector<Child> children;  // of a directory; the first is the parent
  };

  uint32_t AddNode(uint32_t parent, const std::string& name, FileEntry entry);
  void WriteBlocks(uint32_t block, const Bytes& data);
  void FinishDirectory(uint32_t icb, const Hooks& hooks);
  void WriteBitmap(const std::vector<bool>& used);

  Medium* const medium_;
  ControlSlot slot_;
  Geometry geometry_;
  std::vector<bool> used_;
  uint32_t next_block_ = 0;
  uint64_t next_unique_id_ = 16;
  std::map<uint32_t, Node> nodes_;
  std::map<std::string, Bytes> files_;
};

}  // namespace vellum::udf
