// SPDX-License-Identifier: Apache-2.0
// Volume: the live namespace of one volume = its catalog entries + its format.
//
// Metadata (Lookup, GetAttr, ReadDir, ReadLink, xattrs, StatFs) is answered
// from memory and the catalog, whether the medium is loaded or not. File data
// and every change need the medium: their callers hold a VolumeUse
// (index/volumes.h) for as long as the call runs; they are marked [loaded].
//
// Changes go to new blocks and into memory; a commit (checkpoint) makes them
// the next generation: fsync and Sync force one, a timer bounds what an
// unsynced crash can lose. A write that returned is visible to every reader;
// space for it, its metadata and its record is reserved: ENOSPC comes from the
// operation. So it does when the disk under an image or under the catalog is
// nearly full; a commit that finds no room there is refused as a whole
// (kNoSpace), the changes stay, and a later commit takes them.
//
// Thread-safety: all methods may be called concurrently. Locks: mu_ guards all
// state in memory; catalog look-ups may happen under it, device I/O never does.
// Operations that change anything count as "in flight" between BeginOp and
// EndOp; a commit freezes when none is, so each is whole in one generation.
//
// Errors: kReadOnly for every change to a backup (but VolumeOptions::copier) or
// to a volume that a failed flush has frozen; kWriteProtected (medium);
// kNoSpace; kNameTooLong; kTooManyLinks; kTooLarge; kStale for an inode that is
// gone; kCorruption and kDeviceError name volume, sector and cause. After an
// error of a namespace operation nothing has changed; a failed Write may have
// written a prefix.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/catalog.h"
#include "index/change_map.h"
#include "index/records.h"
#include "media/error.h"
#include "media/library.h"
#include "media/medium.h"
#include "media/types.h"

namespace vellum {

class VolumeSnapshot;

// Attributes of one inode as stat(2) shows them.
struct Attr {
  InodeNumber ino = 0;
  udf::InodeAttr attr;
  uint64_t allocated = 0;  // bytes of recorded blocks (st_blocks * 512)
};

struct DirItem {
  std::string name;
  InodeNumber ino = 0;
  udf::FileType type = udf::FileType::kRegular;
  uint64_t cookie = 0;  // readdir offset: resume with `after` = this
};

// What SetAttr changes; empty = keep.
struct AttrChange {
  std::optional<uint32_t> mode, uid, gid;
  std::optional<uint64_t> size;
  std::optional<TimeSpec> atime, mtime, ctime;
  std::optional<TimeSpec> btime = {};  // the copier's: nobody else sets it
  // Extended attributes to set, and with no value to remove if they are there;
  // with the rest of the change in one generation.
  std::map<std::string, std::optional<std::string>> xattrs = {};
};

struct NewInode {
  udf::FileType type = udf::FileType::kRegular;
  uint32_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t major = 0, minor = 0;
  std::string symlink_target;
  std::map<std::string, std::string> xattrs = {};
};

enum class RenameMode : uint8_t { kReplace, kNoReplace, kExchange };

struct VolumeSpace {
  uint64_t total_blocks = 0;  // of the partition, 2048 bytes each
  uint64_t free_blocks = 0;   // up to the threshold
  uint64_t inodes = 0;        // files and directories
};

// Where bytes of a file are, for splice: a run of the medium's DirectFd.
struct FilePiece {
  uint64_t length = 0;     // bytes
  int64_t fd_offset = -1;  // byte offset on the medium; -1: zeros or memory
  Bytes data;              // fd_offset -1 and not empty: the bytes
};

// Says what the namespace and data are about to be committed as. Tests hook it.
enum class CommitStep : uint8_t {
  kFrozen,          // S0/S1 about to begin
  kDataWritten,     // S1 done
  kPendingStored,   // P done
  kDataFlushed,     // F1 done
  kRecordWritten,   // S3 done
  kRecordFlushed,   // F2 done: committed
  kApplied,         // pending batch applied to the catalog
  kInPlaceWritten,  // S4 done
};

struct VolumeOptions {
  uint64_t overlay_limit = 1ull << 30;  // bytes that one snapshot may keep
  std::string spool_directory;          // of the overlays; empty: memory only
  // Bytes that must stay free on the disks under medium and catalog beyond
  // twice what the next commit writes; half of it for what removes things.
  uint64_t host_reserve = 16ull << 20;
  // The copier's own: a backup in the state FILES takes changes, and stays what
  // it is.
  bool copier = false;
  // Called at each step of a commit, with no lock held; an error is treated as
  // a failed flush. For tests.
  std::function<Status(CommitStep)> on_commit_step;
  // Negative controls of the crash and copy tests: what the format forbids.
  // Blocks may be reused as soon as they are freed.
  bool break_reuse = false;
  // On media with atomic units: everything is written as on others.
  bool break_units = false;
  // A commit with one flush leaves out what the generation before has put in
  // place, its own new data, what it says to the catalog.
  bool break_behind = false;
  bool break_data = false;
  bool break_note = false;
  // Called with the regions that a generation is about to mark as changed.
  std::function<void(RegionSet*)> break_marks;
};

class Volume {
 public:
  // A volume as the catalog knows it; nothing loaded.
  Volume(Catalog* catalog, VolumeRecord record, VolumeOptions options);
  ~Volume();
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  // --- Loading (called by Volumes) -------------------------------------------
  // Makes `medium` the one that this volume works on: checks its identity
  // (kNoMedium: another volume is on it), replays its journal, brings the
  // catalog and it together (format: pending batch applied, discarded, or the
  // volume rescanned). On error nothing is attached.
  Status Attach(Medium* medium);
  // Commits, closes the LVID (a generation of its own if anything changed since
  // it was opened), writes the control slot, flushes; then lets go of the
  // medium. On error the medium is let go all the same; what was committed
  // stays committed.
  Status Detach();
  bool attached() const;
  // True when changes wait for a commit, or a failed one has left them behind.
  bool dirty() const;
  // kBusy, with the reason, when Detach would lose changes: a failed commit has
  // frozen the volume.
  Status CheckNothingToLose() const;

  // --- Identity
  // ---------------------------------------------------------------
  VolumeRecord record() const;
  VolumeIndex index() const { return index_; }
  std::string id() const;
  // ICB block of the root directory.
  InodeNumber root() const;
  // Role PRIMARY, not frozen. kReadOnly says why not.
  Status CheckWritable() const;
  // Committed generation (the active one is number + 1).
  Generation generation() const;
  // Grows when Attach or Detach changes what the methods below answer without
  // an operation's doing: a generation that a crash had left undecided came in,
  // the tree was read anew from the medium, or what a frozen volume could not
  // commit is gone.
  uint64_t tree_version() const;
  // Names and attributes were changed past those who keep them (the kernel):
  // the tree has another version.
  void TellTreeChanged();
  VolumeSpace Space() const;

  // --- Metadata, from memory and the catalog
  // ----------------------------------
  Result<Attr> Lookup(InodeNumber dir, std::string_view name) const;
  Result<Attr> GetAttr(InodeNumber ino) const;
  // Names with cookie > after in cookie order, until `visit` answers false.
  // "." and ".." are not among them.
  Status ReadDir(InodeNumber dir, uint64_t after,
                 const std::function<bool(const DirItem&)>& visit) const;
  Result<InodeNumber> ParentOf(InodeNumber dir) const;
  // Where on the medium the data from `offset` on begins, as a block of the
  // partition: what reads are ordered by. 0: there is none, or it is not known.
  uint64_t DataAddress(InodeNumber ino, uint64_t offset = 0) const;
  Result<std::string> ReadLink(InodeNumber ino) const;
  Result<std::string> GetXattr(InodeNumber ino, const std::string& name) const;
  Result<std::vector<std::string>> ListXattr(InodeNumber ino) const;

  // --- Open files
  // -------------------------------------------------------------- Keeps the
  // inode's state in memory and its blocks alive when it is unlinked.
  Status Open(InodeNumber ino);
  size_t open_files() const;  // inodes that are open
  // REQUIRES: as many calls as Open.
  void Close(InodeNumber ino);

  // --- Data [loaded]
  // ------------------------------------------------------------ Reads up to
  // out.size() bytes; answers the count, short at the end of file.
  Result<size_t> Read(InodeNumber ino, uint64_t offset, ByteSpan out);
  Result<size_t> Write(InodeNumber ino, uint64_t offset, ConstByteSpan data);
  // Appends at the end of file in one step; answers the offset.
  Result<uint64_t> Append(InodeNumber ino, ConstByteSpan data);
  // fallocate(2): mode 0 and KEEP_SIZE allocate, PUNCH_HOLE and ZERO_RANGE make
  // zeros; others kNotSupported.
  Status Fallocate(InodeNumber ino, int mode, uint64_t offset, uint64_t length);
  // SEEK_DATA (data true) or SEEK_HOLE from `offset`; kOutOfRange = ENXIO.
  Result<uint64_t> Seek(InodeNumber ino, uint64_t offset, bool data) const;

  // --- Changes [loaded]
  // ----------------------------------------------------------
  Result<Attr> Create(InodeNumber dir, std::string_view name,
                      const NewInode& inode);
  Result<Attr> Link(InodeNumber ino, InodeNumber dir, std::string_view name);
  Status Unlink(InodeNumber dir, std::string_view name);  // not directories
  Status Rmdir(InodeNumber dir, std::string_view name);
  Status Rename(InodeNumber from_dir, std::string_view from, InodeNumber to_dir,
                std::string_view to, RenameMode mode);
  Result<Attr> SetAttr(InodeNumber ino, const AttrChange& change);
  // flags: XATTR_CREATE / XATTR_REPLACE.
  Status SetXattr(InodeNumber ino, const std::string& name,
                  std::string_view value, int flags);
  Status RemoveXattr(InodeNumber ino, const std::string& name);
  Status SetThreshold(uint32_t percent);  // control slot is written at once

  // --- Durability [loaded]
  // --------------------------------------------------------- Commits
  // everything that returned before the call. One commit serves all callers
  // that wait for it.
  // `committed`, unless empty, is called when all that was asked for is durable
  // and in the catalog, before the rest of the commit (the writes in place) is
  // done: at most once, by this thread, without locks. If the rest fails, so
  // does the call, and the volume is read-only; nothing that is committed is
  // lost. Not called where there is nothing to commit, where that fails, or
  // where another caller's commit does it.
  Status Sync(const std::function<void()>& committed = nullptr);
  // The same if the inode (or, for a directory, its names) changed since the
  // last commit; else returns at once.
  // `losses_seen` belongs to the open file or directory that asks, and was
  // losses() when it was opened: kDeviceError, once for each, when changes were
  // lost since.
  Status Fsync(InodeNumber ino, std::atomic<uint64_t>* losses_seen = nullptr,
               const std::function<void()>& committed = nullptr);
  // How often a Detach has lost changes. May be asked when nothing is loaded.
  uint64_t losses() const;

  // --- Snapshots [loaded]
  // ------------------------------------------------------------- Commits, then
  // pins that generation: see VolumeSnapshot. The volume stays in use.
  // REQUIRES: the snapshot is destroyed before the use is dropped.
  Result<std::unique_ptr<VolumeSnapshot>> TakeSnapshot();

  // The record as the copier has changed it on the medium (backup written,
  // converted, role changed); the caller has stored it in the catalog.
  // REQUIRES: not attached.
  void SetRecord(const VolumeRecord& record);

  struct Impl;  // index/volume_impl.h

 private:
  friend class VolumeSnapshot;
  const VolumeIndex index_;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace vellum
