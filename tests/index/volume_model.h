// SPDX-License-Identifier: Apache-2.0
// A plain model of a volume's tree, random operations applied to a Volume and
// to the model alike, and comparisons of the model with what the volume or the
// medium alone shows.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "index/volume.h"
#include "media/medium.h"

namespace vellum {

struct ModelNode {
  udf::FileType type = udf::FileType::kRegular;
  uint32_t mode = 0;
  uint32_t uid = 0, gid = 0;
  // As last set by utimens; empty: whatever the operations made of it.
  std::optional<TimeSpec> atime, mtime;
  std::string content;  // regular files
  std::string target;   // symlinks
  std::map<std::string, std::string> xattrs;
  std::map<std::string, uint64_t> names;  // directories: name -> node
  uint64_t version = 0;                   // grows with each change
};

// Access, modification, attribute change and creation time.
using NodeTimes = std::array<TimeSpec, 4>;
NodeTimes TimesOf(const udf::InodeAttr& attr);

// Value type: copying it is a snapshot.
struct Model {
  std::map<uint64_t, std::shared_ptr<const ModelNode>> nodes;  // 0: the root
  uint64_t next = 1;  // ids are not used again
  // What the volume itself showed at this moment (VolumeFuzzer::NoteTimes);
  // null: not known.
  std::shared_ptr<const std::map<uint64_t, NodeTimes>> times;

  Model();
  const ModelNode& at(uint64_t id) const { return *nodes.at(id); }
  // Valid until the model is copied.
  ModelNode& edit(uint64_t id);
  // The content or the names of the node are others: so is its time.
  ModelNode& edit_content(uint64_t id);
  std::map<uint64_t, uint64_t> links() const;  // of each node
};

struct FuzzOptions {
  uint64_t max_file_bytes = 400'000;
  size_t max_nodes = 120;
  bool odd_names = true;
  bool touch_all = false;    // now and then every node: records beyond the ring
  bool crowds = false;       // now and then a hundred nodes more
  bool tag_content = false;  // see IsContentOf
  size_t max_chains = 0;     // files of 300 to 600 pieces, at most; then
                             // truncated, extended, overwritten
};

// What a fuzzer has done so far.
struct FuzzCounts {
  uint64_t fragmented = 0;   // files cut into hundreds of pieces
  uint64_t chain_cut = 0;    // those truncated, emptied or removed,
  uint64_t chain_grown = 0;  // extended,
  uint64_t chain_overwritten = 0;
  uint64_t grown_out = 0;  // small files that outgrew their entry
};

// With tag_content, three of eight bytes of a file tell whose content it is:
// is this, from `offset` of a file on, content of the file with this unique id
// (or zeros)? *cells: how many tags were looked at.
bool IsContentOf(uint64_t unique_id, uint64_t offset, ConstByteSpan content,
                 uint64_t* cells);

// Applies random operations. Ids of the model follow inodes of the volume.
// Thread-safety: none.
class VolumeFuzzer {
 public:
  VolumeFuzzer(Volume* volume, uint64_t seed, const FuzzOptions& options);
  // One operation; a testing failure when volume and model disagree about its
  // result. kNoSpace of the volume leaves the model as it was.
  void Step();
  // Some while a commit runs: of those that wait for its end only what cannot
  // be told beforehand (a full volume, a full record). `all`: the others too.
  void StepsInCommit(int count, bool all);
  // Fsync of one node, mostly the one that changed last. Answers id and
  // version that were promised.
  struct Fsynced {
    uint64_t id = 0;
    uint64_t version = 0;
  };
  Fsynced PickForFsync();
  Status Fsync(const Fsynced& node) { return volume_->Fsync(Ino(node.id)); }
  // Takes the times of all nodes from the volume; they stand in the model until
  // the next step.
  void NoteTimes();
  // Of a node of the model, as the medium has it.
  uint64_t UniqueId(uint64_t id) const;
  const Model& model() const { return model_; }
  const FuzzCounts& counts() const { return counts_; }
  const std::string& last() const { return last_; }
  // The volume was attached anew: inode numbers stay.
  void SetVolume(Volume* volume) { volume_ = volume; }

 private:
  uint64_t Random(uint64_t below) { return rng_() % below; }
  uint64_t PickDir();
  uint64_t PickNode();   // any but the root; 0 when none
  uint64_t PickFile();   // regular; 0 when none
  uint64_t PickChain();  // 0 when none
  std::string NewName();
  std::string PickName(uint64_t dir);
  std::string RandomBytes(size_t n);
  // `data` as content of the node from `offset` on.
  void Tag(uint64_t id, uint64_t offset, std::string* data);
  InodeNumber Ino(uint64_t id) const { return inos_.at(id); }
  void DropName(uint64_t dir, const std::string& name);
  bool Inside(uint64_t top, uint64_t below) const;
  // One call of the volume and the same in the model. False: no space, or a
  // testing failure.
  bool WriteTo(uint64_t id, uint64_t offset, size_t n);
  bool Truncate(uint64_t id, uint64_t size);
  bool FallocateIn(uint64_t id, int mode, uint64_t offset, uint64_t length);
  bool CreateIn(uint64_t dir, const std::string& name, const NewInode& inode);
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
  void DoCrowd();
  void DoFragment();
  void DoChain(uint64_t id);

  Volume* volume_;
  const FuzzOptions options_;
  std::mt19937_64 rng_;
  Model model_;
  std::map<uint64_t, InodeNumber> inos_;
  std::string last_;
  uint64_t last_file_ = 0;  // whose content changed last
  uint64_t name_count_ = 0;
  std::set<uint64_t> chains_;
  FuzzCounts counts_;
  // In a commit: nodes from here on are no part of it; 0: in none.
  uint64_t free_from_ = 0;
};

// Everything that the volume's own methods answer, against the model. Adds
// testing failures.
void ExpectVolumeIs(Volume* volume, const Model& model);

// What a medium holds, counted over all that were compared.
struct TreeFacts {
  uint64_t chains = 0;    // files whose descriptors do not fit their entry
  size_t longest = 0;     // blocks of descriptors
  uint64_t sparse = 0;    // files with holes
  uint64_t in_entry = 0;  // files that stand in their entry
};
// The same from the medium alone (replayed), with media/udf/reader.h. Answers
// what differs first, empty when nothing does.
std::string CompareMedium(Medium* medium, const Model& model,
                          TreeFacts* facts = nullptr);

}  // namespace vellum
