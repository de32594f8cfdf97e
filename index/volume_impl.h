// SPDX-License-Identifier: Apache-2.0
// The inside of Volume. Who may touch what:
//   mu_ guards every member that is not marked otherwise. Catalog look-ups may
//   happen under it; device I/O and waiting for a robot never.
//   The committer (the one thread for which committing_ was set) owns what is
//   marked "committer": those members need no lock.
// Lock order: mu_, then Overlay::mu_, then the catalog's own.
//
// Files: volume.cc (identity, metadata), volume_names.cc, volume_rename.cc and
// volume_attrs.cc (changes of the namespace), volume_data.cc, volume_write.cc,
// volume_holes.cc, volume_ahead.cc (file content), volume_host.cc (room below
// the medium), volume_commit.cc (generations), volume_small.cc (those with one
// flush), volume_build.cc (from names to sectors), volume_load.cc (attach),
// volume_detach.cc, volume_scan.cc (medium to catalog), volume_record.cc (room
// for the redo record; media with atomic units), snapshot.cc.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "index/directory_image.h"
#include "index/extent_map.h"
#include "index/overlay.h"
#include "index/volume.h"
#include "media/mutex.h"
#include "media/udf/allocator.h"
#include "media/udf/journal.h"

namespace vellum {

// State in memory of an inode that is open, changed or unlinked.
struct LiveInode {
  InodeNumber ino = 0;
  InodeRecord rec;  // rec.extents is stale: `extents` counts
  ExtentMap extents;
  std::optional<Bytes> inline_data;  // loaded content of an inline file
  uint32_t opens = 0;
  uint32_t users = 0;       // operations that hold a pointer to it
  bool busy = false;        // one of them changes the content
  bool dirty = false;       // changed in the active generation
  bool in_commit = false;   // part of the generation that is being committed
  bool fresh = false;       // never part of a committed generation
  bool unlinked = false;    // no name any more
  bool lost = false;        // has no blocks any more
  uint64_t keep_until = 0;  // unlinked: generation whose application removes it
  bool parent_moved = false;  // directory: the parent FID must be written anew
  udf::BlockRun reserve;      // file: blocks reserved for its growth
  bool synced = false;        // file: an fsync has waited for its growth
  uint32_t ahead_end = 0;     // file: the reserve is written up to this block
  uint64_t descriptor_blocks = 0;  // that freezing it may need
  // Directories: content length at most, and where it will fit.
  uint64_t dir_bytes = 0;
  udf::BlockRun tail;        // reserved right behind the extent
  udf::BlockRun relocation;  // reserved: the whole content moves there
};

// A name that appeared, changed or went away since the last commit.
struct NameChange {
  std::string name;
  bool present = false;
  bool is_new = false;  // no generation before has the name
  InodeNumber ino = 0;
  uint64_t unique_id = 0;
  udf::FileType type = udf::FileType::kRegular;
};
using NameChanges = std::map<uint64_t, NameChange>;     // by cookie
using DirChanges = std::map<InodeNumber, NameChanges>;  // by directory

// One inode as the generation being committed has it.
struct FrozenInode {
  InodeNumber ino = 0;
  InodeRecord rec;
  std::optional<Bytes> inline_data;
  bool fresh = false;
  std::set<uint32_t>
      old_aeds;  // blocks of its chain that were committed before
};

// Where a directory's content is written in this generation.
struct FrozenDirectory {
  InodeNumber ino = 0;
  std::shared_ptr<DirectoryImage> image;
  uint32_t block = 0;
  bool whole = false;           // every sector, to new blocks
  std::set<uint32_t> direct;    // sectors behind the committed length
  std::set<uint32_t> in_place;  // sectors that the record must carry
  bool longer = false;          // than the committed one
};

// A generation between freeze and the end of its commit.
struct Frozen {
  uint64_t number = 0;
  DirChanges names;
  std::vector<InodeNumber> removed;  // inodes that leave the catalog
  // names of directories that were removed with them: (directory, cookie)
  std::vector<std::pair<InodeNumber, uint64_t>> dead_names;
  std::vector<FrozenInode> inodes;
  std::vector<FrozenDirectory> directories;
  // (directory, cookie) -> offset of the FID in the content
  std::map<std::pair<InodeNumber, uint64_t>, uint32_t> offsets;
  // directories that were rewritten: offset of a kept FID, old -> new
  std::map<InodeNumber, std::unordered_map<uint32_t, uint32_t>> moved;
  udf::SectorImages data;   // file data that the record carries
  udf::FreshSectors fresh;  // of `data`: nothing was written there before
  std::map<uint32_t, udf::Sector> bitmap;
  RegionSet regions;  // of direct writes so far
  // What was written directly of file data, unless that is too much.
  std::optional<udf::SectorImages> written;
  uint64_t used_blocks = 0, free_blocks = 0;
  uint64_t files = 0, directories_count = 0;
  uint64_t next_unique_id = 16;
  bool closing = false;
  udf::Spill spill;
};

// Blocks that nobody else gets: room for a record beyond the ring.
struct SpillArea {
  std::vector<udf::BlockRun> runs;
  uint64_t blocks = 0;
};

struct SnapshotState {
  Volume::Impl* owner = nullptr;
  Medium* medium = nullptr;
  VolumeRecord record;
  Bytes bitmap;
  std::shared_ptr<CatalogSnapshot> catalog;
  Catalog* db = nullptr;
  std::unique_ptr<Overlay> overlay;
  std::optional<uint64_t> pinned;  // generation number
};

// What room on the host's disks is wanted for.
enum class HostUse : uint8_t { kChange, kRemoval, kCommit };

// What the host's disks have free, asked for with no lock held.
struct HostFigures {
  std::chrono::steady_clock::time_point asked;
  uint64_t landed = 0;           // host_landed_ before they were asked for
  uint64_t medium = 0;           // bytes free for the medium's image
  Result<uint64_t> catalog = 0;  // bytes that the catalog takes, or why none
};

struct Volume::Impl {
  Impl(Catalog* catalog, VolumeRecord record, VolumeOptions options);

  // --- volume.cc
  std::string Name() const;  // "volume X", for messages
  Status CheckWritableLocked() const REQUIRES(mu_);
  // Finds or loads the inode's state. kStale.
  Result<LiveInode*> Live(InodeNumber ino) REQUIRES(mu_);
  const LiveInode* FindLive(InodeNumber ino) const REQUIRES(mu_);
  // Drops the state of an inode that nothing needs any more.
  void MaybeDrop(InodeNumber ino) REQUIRES(mu_);
  void MarkDirty(LiveInode* inode) REQUIRES(mu_);
  Attr ToAttr(const LiveInode& inode) const REQUIRES(mu_);
  // The catalog has nothing of this directory, nor of its names.
  bool IsUnknownToCatalog(InodeNumber dir) const REQUIRES(mu_);
  static DirentRecord ToDirent(uint64_t cookie, const NameChange& change);
  // The name as it is now: changes first, then the catalog.
  std::optional<DirentRecord> FindChange(InodeNumber dir, std::string_view name,
                                         bool* known) const REQUIRES(mu_);
  Result<std::optional<DirentRecord>> FindName(InodeNumber dir,
                                               std::string_view name) const
      REQUIRES(mu_);
  VolumeSpace SpaceLocked() const REQUIRES(mu_);

  // --- operations in flight
  // Waits while a commit freezes; fails when the volume takes no changes.
  Status BeginOp() EXCLUDES(mu_);
  void EndOp(bool begun, uint64_t pledged) EXCLUDES(mu_);
  // Commits first when too much waits in memory.
  Status Throttle() EXCLUDES(mu_);
  // Runs `operation`; when it has no space and blocks are waiting for commits,
  // commits and tries once more. It writes `bytes` of data to the medium.
  Status Run(const std::function<Status()>& operation, uint64_t bytes = 0,
             HostUse use = HostUse::kChange) EXCLUDES(mu_);

  // --- volume_host.cc
  // At most what committing all that waits writes to medium or catalog.
  uint64_t CommitBytes() const REQUIRES(mu_);
  // Lets an operation in that writes `bytes` of data, and answers what it may
  // cost: until EndOp, nobody else counts on that room. kNoSpace unless the
  // disks below have room for it, the commit that then follows and the reserve.
  Result<uint64_t> PledgeHost(uint64_t bytes, HostUse use) EXCLUDES(mu_);
  // REQUIRES: attached.
  HostFigures AskHost() EXCLUDES(mu_);
  // The check itself. What was let in and had not ended when the figures were
  // asked for may not be in them: it counts as still to be written.
  Status CheckHost(const HostFigures& figures, uint64_t cost, HostUse use)
      REQUIRES(mu_);
  // False: what writes is refused for another reason.
  bool HostCounts() const REQUIRES(mu_);

  // --- volume_names.cc, volume_rename.cc
  Result<LiveInode*> LiveDirectory(InodeNumber dir) REQUIRES(mu_);
  struct NamePlace {
    uint64_t cookie = 0;
    std::optional<DirentRecord> entry;  // what has the name now
    bool is_new = false;                // see NameChange
  };
  // Where changes of a name go.
  Result<NamePlace> FindPlace(InodeNumber dir, std::string_view name) const
      REQUIRES(mu_);
  Status EnsureDirSpace(LiveInode* dir, std::string_view name) REQUIRES(mu_);
  void PutName(LiveInode* dir, std::string_view name, const NamePlace& place,
               const LiveInode& child) REQUIRES(mu_);
  void RemoveName(LiveInode* dir, std::string_view name, uint64_t cookie)
      REQUIRES(mu_);
  // One link less; frees the inode at the last one.
  void DropLink(LiveInode* inode) REQUIRES(mu_);
  void FreeInode(LiveInode* inode) REQUIRES(mu_);
  Result<bool> IsEmptyDirectory(InodeNumber dir) const REQUIRES(mu_);
  Result<Attr> CreateLocked(InodeNumber dir, std::string_view name,
                            const NewInode& inode) REQUIRES(mu_);
  Status RenameLocked(InodeNumber from_dir, std::string_view from,
                      InodeNumber to_dir, std::string_view to, RenameMode mode)
      REQUIRES(mu_);

  // --- volume_data.cc
  // Keeps the inode's state and makes its content this thread's to change.
  Result<LiveInode*> LockContent(InodeNumber ino) EXCLUDES(mu_);
  void UnlockContent(LiveInode* inode) EXCLUDES(mu_);
  // REQUIRES: content locked.
  Status LoadInline(LiveInode* inode) EXCLUDES(mu_);
  Status ConvertInline(LiveInode* inode) EXCLUDES(mu_);
  // `record_full`: set when the error is that the record has no room for so
  // much at once.
  Status WriteContent(LiveInode* inode, uint64_t offset, ConstByteSpan data,
                      bool grow, bool* record_full = nullptr) EXCLUDES(mu_);
  Status WriteOnce(InodeNumber ino, uint64_t offset, ConstByteSpan data,
                   bool* record_full) EXCLUDES(mu_);
  Status Truncate(LiveInode* inode, uint64_t size) EXCLUDES(mu_);
  Status ReadSectors(const LiveInode& inode, uint64_t first, ByteSpan out)
      EXCLUDES(mu_);
  Status PunchHole(LiveInode* inode, uint64_t offset, uint64_t length)
      EXCLUDES(mu_);
  std::optional<std::vector<udf::BlockRun>> AllocateData(LiveInode* inode,
                                                         uint64_t at_sector,
                                                         uint64_t count,
                                                         bool grow)
      REQUIRES(mu_);
  void UseFor(const LiveInode& inode, udf::BlockRun run) REQUIRES(mu_);
  void FreeFor(const LiveInode& inode, udf::BlockRun run) REQUIRES(mu_);
  void ReleaseReserve(LiveInode* inode) REQUIRES(mu_);

  // --- volume_ahead.cc
  // What is reserved for the file that now gets `written` blocks, if it should
  // be written ahead: nobody gets it until ReturnAhead. REQUIRES: content
  // locked.
  udf::BlockRun TakeAhead(LiveInode* inode, uint64_t written) REQUIRES(mu_);
  void ReturnAhead(LiveInode* inode, udf::BlockRun taken) REQUIRES(mu_);
  // What goes wrong is in the log only: these blocks are free.
  void WriteAhead(udf::BlockRun taken) EXCLUDES(mu_);
  Status FillAhead(udf::BlockRun taken);

  // --- volume_data.cc
  uint64_t MetadataReserve() const REQUIRES(mu_);
  uint64_t Sector(uint32_t block) const { return geometry_.Sector(block); }

  // --- volume_commit.cc
  Status Sync(const std::function<void()>& committed) EXCLUDES(mu_);
  // Returns when generation `target` is committed. `committed`: as Fsync's.
  Status CommitUpTo(uint64_t target, bool closing,
                    const std::function<void()>& committed = nullptr)
      EXCLUDES(mu_);
  // `begun`: whether the generation was frozen, or tried to be.
  Status RunCommit(bool closing, const std::function<void()>& committed,
                   bool* begun) EXCLUDES(mu_);
  bool DirtyLocked() const REQUIRES(mu_);
  // A commit has failed, and what it froze is on no medium.
  bool LeftBehindLocked() const REQUIRES(mu_);
  // Of what is refused because a commit has failed: damage on the medium stays
  // damage, anything else is the device's. REQUIRES: broken_ is an error.
  Errc BrokenCodeLocked() const REQUIRES(mu_);
  Status Commit(const std::shared_ptr<Frozen>& frozen,
                const std::function<void()>& committed) EXCLUDES(mu_);
  // The one role of committer; nothing else writes slot or record meanwhile.
  void BecomeCommitter() EXCLUDES(mu_);
  void EndCommitter(const Status& status) EXCLUDES(mu_);
  Status PreserveForSnapshots(const udf::SectorImages& images) EXCLUDES(mu_);
  Status Step(CommitStep step);
  void FinishCommit(const Frozen& frozen) EXCLUDES(mu_);
  // P and F1: the batch is durable in the catalog, what was written until now
  // on the medium.
  Status StoreAndFlush(const CatalogBatch& batch, const VolumeRecord& next)
      EXCLUDES(mu_);

  // --- volume_small.cc (commits with one flush)
  // Keeps what was just written directly, for CarryAll.
  void NoteWritten(uint32_t block, ConstByteSpan data) REQUIRES(mu_);
  // The blocks are not of use any more: nothing of them need reach the medium.
  void ForgetWritten(udf::BlockRun run) REQUIRES(mu_);
  // The record that needs no flush before it, as it has all that is not durable
  // yet; nullopt when that is too much. `record`: what the generation itself
  // puts in place; `direct`: what it has written elsewhere.
  std::optional<udf::Record> CarryAll(const Frozen& frozen,
                                      const udf::SectorImages& direct,
                                      const udf::Record& record) EXCLUDES(mu_);
  // The same for the catalog: gives the record a note with all that is not
  // durable there. False when that is too much.
  bool CarryBatch(const CatalogBatch& batch, const VolumeRecord& next,
                  udf::Record* record);
  Status NoteStored(const PendingBatch& pending);
  void NotePlaced(udf::Record record);
  // Brings the catalog to the generation of the record that was found, with its
  // note. False: that says nothing of use here.
  Result<bool> ApplyNote(const udf::ReplayResult& replay,
                         const VolumeRecord& record) EXCLUDES(mu_);
  // Nothing is known of what is durable.
  void ForgetDurability();

  // --- volume_build.cc (all: committer)
  // The directories that the active generation changes.
  std::set<InodeNumber> ChangedDirectories() const REQUIRES(mu_);
  // Reads what freezing will need: contents of changed directories, committed
  // places of changed names.
  Status Prefetch() EXCLUDES(mu_);
  bool PrefetchDone() const REQUIRES(mu_);
  Result<std::optional<uint32_t>> BaseOffset(InodeNumber dir, uint64_t cookie,
                                             const std::string& name);
  Status Freeze(bool closing) REQUIRES(mu_);
  // Gives the directory's extent so many blocks, from or back to what is
  // behind it.
  Status ResizeDirectory(LiveInode* dir, udf::BlockRun* extent, uint32_t blocks)
      REQUIRES(mu_);
  Status FreezeDirectory(Frozen* frozen, LiveInode* dir,
                         const NameChanges& names) REQUIRES(mu_);
  Status FreezeInode(Frozen* frozen, LiveInode* inode) REQUIRES(mu_);
  void TrimImageCache();
  // The sectors of the frozen generation: those written directly, those that
  // the record carries.
  Status BuildSectors(const Frozen& frozen, udf::SectorImages* direct,
                      udf::SectorImages* in_place);
  Status BuildEntry(const FrozenInode& inode, udf::SectorImages* direct,
                    udf::SectorImages* in_place);
  Status BuildBatch(const Frozen& frozen, const udf::SectorImages& direct,
                    const udf::SectorImages& in_place,
                    const VolumeRecord& record, CatalogBatch* batch);

  // --- volume_record.cc
  // Must a write to this block go through the record?
  bool Journaled(uint32_t block) const REQUIRES(mu_);
  // The active generation changes this entry, names of this directory
  // (`removal`: takes one away), the parent entry of this one.
  void NoteEntry(const LiveInode& inode) REQUIRES(mu_);
  void NoteNames(const LiveInode& dir, bool removal = false) REQUIRES(mu_);
  void NoteParentEntry(const LiveInode& dir) REQUIRES(mu_);
  void ForgetRecordUnits() REQUIRES(mu_);
  // The extents of the inode are others: counts the blocks that their
  // descriptors will need when the generation is frozen.
  void NoteExtents(LiveInode* inode) REQUIRES(mu_);
  // May `blocks` be taken, so that those are left?
  bool Spare(uint64_t blocks) const REQUIRES(mu_);
  // A directory as large as this may be written anew through the record.
  bool FitsRecord(uint64_t directory_bytes) const REQUIRES(mu_);
  // Images that the active generation will have at most, so far.
  uint64_t RecordSectors(uint64_t more_units) const REQUIRES(mu_);
  bool RecordIsFull() const REQUIRES(mu_);
  bool ReserveRecord(uint64_t more_units) REQUIRES(mu_);
  bool ReserveForWrite(uint64_t units) REQUIRES(mu_);
  Status ReserveForOperation() REQUIRES(mu_);
  void PrepareSpill() EXCLUDES(mu_);
  bool GrowSpill(SpillArea* area, uint64_t sectors) REQUIRES(mu_);
  // `spilled`: the newest record stands in a spill area.
  void TrimSpill(bool spilled) REQUIRES(mu_);
  // Before anything is frozen: room for all that freezing will need, or
  // kNoSpace and nothing has changed.
  Status PrepareFreeze() REQUIRES(mu_);
  // REQUIRES: before Allocator::Freeze of the generation.
  Status PickSpill(Frozen* frozen) REQUIRES(mu_);
  uint64_t ImagesOf(const Frozen& frozen) const REQUIRES(mu_);
  uint64_t UnitImagesOf(const Frozen& frozen) const REQUIRES(mu_);
  Status MergeUnits(udf::SectorImages* direct, udf::SectorImages* in_place,
                    udf::Record* record) EXCLUDES(mu_);

  // --- volume_load.cc, volume_scan.cc
  Status AttachPrimary(Medium* medium, udf::ControlSlot slot) EXCLUDES(mu_);
  Status AttachBackup(Medium* medium, udf::ControlSlot slot) EXCLUDES(mu_);
  Status Reconcile(const udf::ReplayResult& replay, bool* rescan) EXCLUDES(mu_);
  Status Decide(const CatalogBatch* batch) EXCLUDES(mu_);
  Status Scan(Medium* medium, VolumeRecord record) EXCLUDES(mu_);
  Status StartAllocator() EXCLUDES(mu_);
  Result<std::map<InodeNumber, InodeRecord>> OpenInodesInCatalog()
      REQUIRES(mu_);
  // What the slot says of a volume that takes changes, and of one that is
  // closed.
  udf::SlotState OpenState() const {
    return options_.copier ? udf::SlotState::kFiles : udf::SlotState::kInUse;
  }
  udf::SlotState ClosedState() const {
    return options_.copier ? udf::SlotState::kFiles : udf::SlotState::kClean;
  }

  // Constant after construction.
  Catalog* const catalog_;
  const VolumeOptions options_;
  const VolumeIndex index_;

  // Medium and what belongs to it: set by Attach, cleared by Detach, neither of
  // which runs while anything else does.
  udf::Geometry geometry_;  // changed by SetRecord only
  Medium* medium_ = nullptr;
  std::unique_ptr<Medium> replayed_;  // write-protected: the view in memory
  std::unique_ptr<udf::Journal> journal_;
  udf::ControlSlot slot_;  // committer
  uint32_t lvid_crc_ = 0;  // committer: of the LVID on the medium
  // Committer: what S4 of the newest generation has written, which no flush has
  // made durable yet; empty when that is too much to be written twice. Below it
  // may stand the LVID with this CRC.
  std::optional<udf::SectorImages> behind_;
  uint32_t lvid_durable_ = 0;
  // Committer: what this volume's generations behind number `synced_` have
  // changed in the catalog, which may lose it when power goes; empty when that
  // is too much.
  std::optional<CatalogBatch> unsynced_;
  uint64_t synced_ = 0;
  std::string catalog_identity_;  // committer: set with unsynced_
  // Why the medium takes no changes: it is write-protected, or of a kind that
  // commits cannot be written to.
  std::optional<Error> medium_read_only_;
  uint32_t unit_ = 1;  // sectors that the drive may destroy together

  mutable Mutex mu_;
  CondVar changed_;  // commit ended, freeze ended, inode no longer busy
  VolumeRecord record_ GUARDED_BY(mu_);
  uint64_t tree_version_ GUARDED_BY(mu_) = 0;
  uint64_t losses_ GUARDED_BY(mu_) = 0;
  bool attached_ GUARDED_BY(mu_) = false;
  std::unique_ptr<udf::Allocator> allocator_ GUARDED_BY(mu_);
  // Why the space bitmap of the medium cannot be trusted.
  Status bitmap_damage_ GUARDED_BY(mu_);
  std::map<InodeNumber, std::unique_ptr<LiveInode>> inodes_ GUARDED_BY(mu_);
  DirChanges names_ GUARDED_BY(mu_);  // of the active generation
  size_t name_changes_ GUARDED_BY(mu_) = 0;
  size_t dirty_inodes_ GUARDED_BY(mu_) = 0;
  udf::SectorImages images_ GUARDED_BY(mu_);  // file data for the record
  udf::FreshSectors fresh_ GUARDED_BY(mu_);   // of images_
  RegionSet regions_ GUARDED_BY(mu_);         // direct writes, active
  // What was written directly of file data in the active generation: its record
  // may carry it. Empty: too much, or not known.
  std::optional<udf::SectorImages> written_ GUARDED_BY(mu_);
  std::vector<InodeNumber> removed_ GUARDED_BY(mu_);  // committed inodes freed
  std::vector<std::pair<InodeNumber, uint64_t>> dead_names_ GUARDED_BY(mu_);
  uint64_t next_unique_id_ GUARDED_BY(mu_) = 16;
  uint64_t files_ GUARDED_BY(mu_) = 0;
  uint64_t directories_ GUARDED_BY(mu_) = 1;
  uint32_t data_cursor_ GUARDED_BY(mu_) = 0;  // where data goes next
  bool touched_ GUARDED_BY(mu_) = false;  // anything changed in this generation
  // What the record of the active generation will have.
  std::unordered_set<uint64_t> record_units_ GUARDED_BY(mu_);  // by sector
  std::unordered_map<InodeNumber, uint64_t> name_units_ GUARDED_BY(mu_);
  uint64_t name_units_sum_ GUARDED_BY(mu_) = 0;
  uint64_t descriptor_blocks_ GUARDED_BY(mu_) = 0;  // sum of the inodes'
  std::array<SpillArea, 2> spill_ GUARDED_BY(mu_);
  size_t next_spill_ GUARDED_BY(mu_) = 0;  // the area of the next record

  // Room on the host's disks, so that not every operation asks for it: bytes
  // that are surely there, and until when that is believed.
  uint64_t host_room_ GUARDED_BY(mu_) = 0;
  uint64_t host_pledged_ GUARDED_BY(mu_) = 0;  // of all operations let in
  uint64_t host_landed_ GUARDED_BY(mu_) = 0;   // of those that have ended
  std::chrono::steady_clock::time_point host_room_until_ GUARDED_BY(mu_);
  uint64_t moved_bytes_ GUARDED_BY(mu_) = 0;   // directories with new places
  uint64_t commit_bytes_ GUARDED_BY(mu_) = 0;  // of the commit under way

  std::shared_ptr<Frozen> frozen_ GUARDED_BY(mu_);
  bool committing_ GUARDED_BY(mu_) = false;
  bool freezing_ GUARDED_BY(mu_) = false;
  uint32_t inflight_ GUARDED_BY(mu_) = 0;
  uint64_t committed_ GUARDED_BY(mu_) = 0;  // number
  uint64_t active_ GUARDED_BY(mu_) = 1;     // number
  uint64_t applied_ GUARDED_BY(mu_) = 0;    // number, in the catalog
  Status broken_ GUARDED_BY(mu_);           // a failed commit froze it
  std::vector<std::shared_ptr<SnapshotState>> snapshots_ GUARDED_BY(mu_);

  // Committer.
  std::map<InodeNumber, std::shared_ptr<DirectoryImage>> dir_images_;
  std::list<InodeNumber> dir_images_order_;  // oldest first
  // FIDs as committed, of names about to change: nullopt = no such name.
  using BaseKey = std::pair<InodeNumber, uint64_t>;
  std::map<BaseKey, std::optional<uint32_t>> base_offsets_;
};

inline uint64_t SectorsFor(uint64_t bytes) {
  return (bytes + kSectorSize - 1) / kSectorSize;
}
// The same, of what fits a partition.
inline uint32_t BlocksFor(uint64_t bytes) {
  return static_cast<uint32_t>(SectorsFor(bytes));
}
// UDF 2.01: 16-bit link counts. A directory's counts its subdirectories + 1.
inline constexpr uint32_t kMaxLinks = 65535;
inline bool IsDir(const LiveInode& inode) {
  return inode.rec.attr.type == udf::FileType::kDirectory;
}
// kInvalidArgument, kNameTooLong: can stand in no directory.
Status CheckName(std::string_view name);
// kIsDirectory, kInvalidArgument: has no content to read or write.
Status CheckRegular(const LiveInode& inode);

// Keeps an operation "in flight" for its scope, and what PledgeHost answered.
class OpGuard {
 public:
  OpGuard(Volume::Impl* impl, uint64_t pledged)
      : impl_(impl), pledged_(pledged) {}
  ~OpGuard() { impl_->EndOp(begun_, pledged_); }
  OpGuard(const OpGuard&) = delete;
  OpGuard& operator=(const OpGuard&) = delete;
  Status Begin() {
    RETURN_IF_ERROR(impl_->BeginOp());
    begun_ = true;
    return Status::Ok();
  }

 private:
  Volume::Impl* const impl_;
  const uint64_t pledged_;
  bool begun_ = false;
};

}  // namespace vellum
