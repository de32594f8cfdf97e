// SPDX-License-Identifier: Apache-2.0
// Rename: the change of the namespace that concerns two directories. In memory,
// under mu_, as all of them (volume_names.cc).
#include <fmt/format.h>

#include "index/volume.h"
#include "index/volume_impl.h"

namespace vellum {

Status Volume::Impl::RenameLocked(InodeNumber from_dir, std::string_view from,
                                  InodeNumber to_dir, std::string_view to,
                                  RenameMode mode) {
  RETURN_IF_ERROR(CheckName(from));
  RETURN_IF_ERROR(CheckName(to));
  ASSIGN_OR_RETURN(LiveInode * source_dir, LiveDirectory(from_dir));
  ASSIGN_OR_RETURN(LiveInode * target_dir, LiveDirectory(to_dir));
  ASSIGN_OR_RETURN(const NamePlace source_place, FindPlace(from_dir, from));
  const std::optional<DirentRecord>& source = source_place.entry;
  if (!source.has_value()) {
    return Status(Errc::kNotFound, fmt::format("no '{}'", from));
  }
  ASSIGN_OR_RETURN(const NamePlace target_place, FindPlace(to_dir, to));
  const std::optional<DirentRecord>& target = target_place.entry;
  if (target.has_value() && mode == RenameMode::kNoReplace) {
    return Status(Errc::kExists, fmt::format("'{}' exists", to));
  }
  if (!target.has_value() && mode == RenameMode::kExchange) {
    return Status(Errc::kNotFound, fmt::format("no '{}'", to));
  }
  if (target.has_value() && target->ino == source->ino) return Status::Ok();
  ASSIGN_OR_RETURN(LiveInode * moved, Live(source->ino));
  LiveInode* other = nullptr;
  if (target.has_value()) {
    ASSIGN_OR_RETURN(other, Live(target->ino));
  }
  // A directory must not become its own descendant.
  auto inside = [&](const LiveInode& top, InodeNumber below)
                    REQUIRES(mu_) -> Result<bool> {
    InodeNumber at = below;
    for (int depth = 0; depth < 65536; ++depth) {
      if (at == top.ino) return true;
      if (at == record_.geometry.root_block) return false;
      const LiveInode* live = FindLive(at);
      if (live != nullptr) {
        at = live->rec.parent;
      } else {
        ASSIGN_OR_RETURN(const InodeRecord rec, catalog_->GetInode(index_, at));
        at = rec.parent;
      }
    }
    return Error{Errc::kCorruption,
                 fmt::format("volume {}: directories form a loop at inode {}",
                             record_.id, below)};
  };
  if (IsDir(*moved)) {
    ASSIGN_OR_RETURN(const bool loop, inside(*moved, to_dir));
    if (loop) {
      return Status(Errc::kInvalidArgument,
                    fmt::format("'{}' cannot move into itself", from));
    }
  }
  if (mode == RenameMode::kExchange && IsDir(*other)) {
    ASSIGN_OR_RETURN(const bool loop, inside(*other, from_dir));
    if (loop) {
      return Status(Errc::kInvalidArgument,
                    fmt::format("'{}' cannot move into itself", to));
    }
  }
  if (other != nullptr && mode == RenameMode::kReplace) {
    if (IsDir(*moved) && !IsDir(*other)) {
      return Status(Errc::kNotDirectory,
                    fmt::format("'{}' is no directory", to));
    }
    if (!IsDir(*moved) && IsDir(*other)) {
      return Status(Errc::kIsDirectory, fmt::format("'{}' is a directory", to));
    }
    if (IsDir(*other)) {
      ASSIGN_OR_RETURN(const bool empty, IsEmptyDirectory(other->ino));
      if (!empty) {
        return Status(Errc::kNotEmpty, fmt::format("'{}' is not empty", to));
      }
    }
  }
  const bool across = from_dir != to_dir;
  if (across && IsDir(*moved) && (other == nullptr || !IsDir(*other)) &&
      target_dir->rec.attr.links >= kMaxLinks) {
    return Status(Errc::kTooManyLinks,
                  fmt::format("a directory holds at most {} subdirectories",
                              kMaxLinks - 2));
  }
  const TimeSpec now = Now();
  auto reparent = [&](LiveInode* inode, LiveInode* old_dir, LiveInode* new_dir)
                      REQUIRES(mu_) {
                        inode->rec.attr.ctime = now;
                        if (IsDir(*inode) && old_dir != new_dir) {
                          inode->rec.parent = new_dir->ino;
                          inode->parent_moved = true;
                          NoteParentEntry(*inode);
                          --old_dir->rec.attr.links;
                          ++new_dir->rec.attr.links;
                        }
                        MarkDirty(inode);
                      };
  // All that can fail comes first.
  RETURN_IF_ERROR(EnsureDirSpace(target_dir, to));
  if (mode == RenameMode::kExchange) {
    RETURN_IF_ERROR(EnsureDirSpace(source_dir, from));
    PutName(target_dir, to, target_place, *moved);
    PutName(source_dir, from, source_place, *other);
    if (!IsDir(*moved)) --files_;
    if (!IsDir(*other)) --files_;
    reparent(moved, source_dir, target_dir);
    reparent(other, target_dir, source_dir);
    NoteNames(*target_dir, /*removal=*/true);
    NoteNames(*source_dir, /*removal=*/true);
    return Status::Ok();
  }
  if (other != nullptr) {
    if (IsDir(*other)) --target_dir->rec.attr.links;
    DropLink(other);
  }
  PutName(target_dir, to, target_place, *moved);
  RemoveName(source_dir, from, source_place.cookie);
  if (!IsDir(*moved)) --files_;
  reparent(moved, source_dir, target_dir);
  if (other != nullptr) NoteNames(*target_dir, /*removal=*/true);
  return Status::Ok();
}

Status Volume::Rename(InodeNumber from_dir, std::string_view from,
                      InodeNumber to_dir, std::string_view to,
                      RenameMode mode) {
  return impl_->Run([&]() -> Status {
    MutexLock lock(&impl_->mu_);
    return impl_->RenameLocked(from_dir, from, to_dir, to, mode);
  });
}

}  // namespace vellum
