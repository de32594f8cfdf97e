// SPDX-License-Identifier: Apache-2.0
// A plain model of a volume's tree, random operations applied to a Volume and
// to the model alike, and comparisons of the model with what the volume or the
// medium alone shows.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "index/volume.h"
#include "media/medium.h"

namespace vellum {

struct ModelNode {
  udf::FileType type = udf::FileType::kRegular;
  uint32_t mode = 0;
  uint32_t uid = 0, gid = 0;
  TimeSpec mtime;       // as last set by utimens; 0 = any
  std::string content;  // regular files
  std::string target;   // symlinks
  std::map<std::string, std::string> xattrs;
  std::map<std::string, uint64_t> names;  // directories: name -> node
};

// Value type: copying it is a snapshot.
struct Model {
  std::map<uint64_t, std::shared_ptr<const ModelNode>> nodes;  // 0: the root
  uint64_t next = 1;

  Model();
  const ModelNode& at(uint64_t id) const { return *nodes.at(id); }
  ModelNode& edit(uint64_t id);
  uint64_t links(uint64_t id) const;
};

struct FuzzOptions {
  uint64_t max_file_bytes = 400'000;
  size_t max_nodes = 120;
  bool odd_names = true;
  bool touch_all = false;    // now and then every node: records beyond the ring
  bool tag_content = false;  // see IsContentOf
};

// With tag_content, three of eight bytes of a file tell whose content it is:
// is this, from `offset` of a file on, content of the file with this unique id
// (or zeros)? *cells: how many tags were looked at.
bool IsContentOf(uint64_t unique_id, uint64_t offset, ConstByteSpan content,
                 uint64_t* cells);

// Applies random operations. Ids of the model follow inodes of the volume.
class VolumeFuzzer {
 public:
  VolumeFuzzer(Volume* volume, uint64_t seed, const FuzzOptions& options);
  // One operation; a testing failure when volume and model disagree about its
  // result. kNoSpace of the volume leaves the model as it was.
  void Step();
  const Model& model() const { return model_; }
  const std::string& last() const { return last_; }
  // The volume was attached anew: inode numbers stay.
  void SetVolume(Volume* volume) { volume_ = volume; }

 private:
  uint64_t Random(uint64_t below) { return rng_() % below; }
  uint64_t PickDir();
  uint64_t PickNode();  // any but the root; 0 when none
  uint64_t PickFile();  // regular; 0 when none
  std::string NewName();
  std::string PickName(uint64_t dir);
  std::string RandomBytes(size_t n);
  // `data` as content of the node from `offset` on.
  void Tag(uint64_t id, uint64_t offset, std::string* data);
  InodeNumber Ino(uint64_t id) const { return inos_.at(id); }
  void DropName(uint64_t dir, const std::string& name);
  bool Inside(uint64_t top, uint64_t below) const;
  void DoCreate();
  void DoWrite();
  void DoTruncate();
  void DoRemove();
  void DoRename();
  void DoLink();
  void DoAttr();
  void DoXattr();
  void DoFallocate();
  void DoRewriteDirectory();
  void DoTouchAll();

  Volume* volume_;
  const FuzzOptions options_;
  std::mt19937_64 rng_;
  Model model_;
  std::map<uint64_t, InodeNumber> inos_;
  std::string last_;
  uint64_t name_count_ = 0;
};

// Everything that the volume's own methods answer, against the model. Adds
// testing failures.
void ExpectVolumeIs(Volume* volume, const Model& model);
// The same from the medium alone (replayed), with media/udf/reader.h. Answers
// what differs first, empty when nothing does.
std::string CompareMedium(Medium* medium, const Model& model);

}  // namespace vellum
