// SPDX-License-Identifier: Apache-2.0
// Listings. The offset of a volume's name is its cookie (index/records.h),
// which is never below 128; "." and ".." are 1 and 2.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/control_tree.h"
#include "fs/fuse_ops.h"

namespace vellum::ops {
namespace {

constexpr off_t kDot = 1;
constexpr off_t kDotDot = 2;
constexpr off_t kFirstName = 3;

// What one listing reply holds, up to the size that the kernel asked for.
class Listing {
 public:
  Listing(const RequestPtr& request, size_t size, bool plus)
      : request_(request), buffer_(size), plus_(plus) {}

  // False: it does not fit.
  bool Add(const char* name, const fuse_entry_param& entry, off_t offset) {
    const size_t room = buffer_.size() - used_;
    char* const at = buffer_.data() + used_;
    const size_t need = plus_
                            ? fuse_add_direntry_plus(request_->raw(), at, room,
                                                     name, &entry, offset)
                            : fuse_add_direntry(request_->raw(), at, room, name,
                                                &entry.attr, offset);
    if (need > room) return false;
    used_ += need;
    return true;
  }
  // "." and "..": never looked up by a listing, so their node stays 0.
  bool AddDots(NodeId self, NodeId parent, off_t after) {
    fuse_entry_param entry{};
    entry.attr.st_mode = S_IFDIR;
    entry.attr.st_ino = self;
    if (after < kDot && !Add(".", entry, kDot)) return false;
    entry.attr.st_ino = parent;
    return after >= kDotDot || Add("..", entry, kDotDot);
  }

  // How many bytes a name takes.
  size_t Need(const char* name) const {
    return plus_ ? fuse_add_direntry_plus(request_->raw(), nullptr, 0, name,
                                          nullptr, 0)
                 : fuse_add_direntry(request_->raw(), nullptr, 0, name, nullptr,
                                     0);
  }
  size_t room() const { return buffer_.size() - used_; }
  bool plus() const { return plus_; }
  void Reply() { request_->Data(buffer_.data(), used_); }

 private:
  const RequestPtr& request_;
  std::vector<char> buffer_;
  size_t used_ = 0;
  const bool plus_;
};

void ListRoot(const RequestPtr& request, off_t after, Listing* listing) {
  FuseFs& fs = request->fs();
  if (!listing->AddDots(kRootNode, kRootNode, after)) return;
  if (after < kFirstName && fs.control != nullptr) {
    const Result<struct stat> st = fs.control->Stat(kControlRoot);
    if (st.ok() && !listing->Add(std::string(kControlName).c_str(),
                                 ControlEntry(kControlRoot, *st), kFirstName)) {
      return;
    }
  }
  for (const ShownVolumePtr& shown : fs.tree->List()) {
    const off_t offset = kFirstName + static_cast<off_t>(shown->index());
    if (offset <= after) continue;
    const Result<Attr> attr = fs.tree->GetAttr(*shown, shown->volume->root());
    if (!attr.ok()) continue;
    if (!listing->Add(shown->id.c_str(), VolumeEntry(fs, *shown, *attr),
                      offset)) {
      return;
    }
  }
}

Status ListControl(const RequestPtr& request, NodeId dir, off_t after,
                   Listing* listing) {
  ControlTree& control = *request->fs().control;
  if (!listing->AddDots(dir, control.Parent(dir), after)) return Status::Ok();
  ASSIGN_OR_RETURN(std::vector<ControlItem> items, control.List(dir));
  // In the order of their nodes, these are offsets that stay while jobs and
  // volumes come and go.
  std::sort(items.begin(), items.end(),
            [](const ControlItem& a, const ControlItem& b) {
              return a.node < b.node;
            });
  for (const ControlItem& item : items) {
    const off_t offset = kFirstName + static_cast<off_t>(item.node);
    if (offset <= after) continue;
    const Result<struct stat> st = control.Stat(item.node);
    if (!st.ok()) continue;
    if (!listing->Add(item.name.c_str(), ControlEntry(item.node, *st),
                      offset)) {
      break;
    }
  }
  return Status::Ok();
}

Status ListVolume(const RequestPtr& request, const VolumeInode& dir,
                  off_t after, Listing* listing) {
  FuseFs& fs = request->fs();
  const ShownVolume& shown = *dir.shown;
  const NodeId self = MakeVolumeNode(shown.index(), dir.ino);
  NodeId up = kRootNode;
  if (dir.ino != shown.volume->root()) {
    const Result<InodeNumber> parent = shown.volume->ParentOf(dir.ino);
    if (parent.ok()) up = MakeVolumeNode(shown.index(), *parent);
  }
  if (!listing->AddDots(self, up, after)) return Status::Ok();

  // Names first, attributes later: the visitor must not call the volume.
  std::vector<DirItem> items;
  size_t room = listing->room();
  const Status status = shown.volume->ReadDir(
      dir.ino, after <= kDotDot ? 0 : static_cast<uint64_t>(after),
      [&](const DirItem& item) {
        const size_t need = listing->Need(item.name.c_str());
        if (need > room) return false;
        room -= need;
        items.push_back(item);
        return true;
      });
  // A volume without a tree in the catalog is shown as empty (Tree::GetAttr).
  if (status.Is(Errc::kNotFound) && dir.ino == shown.volume->root()) {
    return Status::Ok();
  }
  RETURN_IF_ERROR(status);
  for (const DirItem& item : items) {
    Attr attr;
    attr.ino = item.ino;
    attr.attr.type = item.type;
    bool known = false;
    if (listing->plus()) {
      Result<Attr> full = shown.volume->GetAttr(item.ino);
      known = full.ok();
      if (known) attr = std::move(*full);
    }
    fuse_entry_param entry = VolumeEntry(fs, shown, attr);
    if (!known) entry.ino = 0;  // name and type only: no lookup
    if (!listing->Add(item.name.c_str(), entry,
                      static_cast<off_t>(item.cookie))) {
      break;
    }
  }
  return Status::Ok();
}

void List(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after, bool plus) {
  Guard(req, [&](const RequestPtr& request) {
    Listing listing(request, size, plus);
    const NodeId node = NodeOf(request->fs(), ino);
    Status status;
    switch (KindOf(node)) {
      case NodeKind::kRoot:
        ListRoot(request, after, &listing);
        break;
      case NodeKind::kControl:
        status = ListControl(request, node, after, &listing);
        break;
      case NodeKind::kVolume: {
        const Result<VolumeInode> dir = FindInode(request->fs(), ino);
        status = dir.ok() ? ListVolume(request, *dir, after, &listing)
                          : dir.status();
        break;
      }
    }
    if (!status.ok()) return request->Fail(status.error());
    listing.Reply();
  });
}

}  // namespace

void OpenDir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    fuse_file_info info = *fi;
    const Result<VolumeInode> dir = FindInode(request->fs(), ino);
    // The kernel sees every change to a steady volume's directories.
    const bool steady = dir.ok() && dir->shown->steady && !request->fs().live;
    info.cache_readdir = steady;
    info.keep_cache = steady;
    std::unique_ptr<OpenFile> open;
    if (dir.ok()) open = MakeOpenFile(*dir);
    info.fh = reinterpret_cast<uint64_t>(open.get());
    // Who was interrupted does not release it.
    if (request->Opened(info)) static_cast<void>(open.release());
  });
}

void ReleaseDir(fuse_req_t req, fuse_ino_t, fuse_file_info* fi) {
  Guard(req, [&](const RequestPtr& request) {
    delete reinterpret_cast<OpenFile*>(fi->fh);
    request->Ok();
  });
}

void ReadDir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
             fuse_file_info*) {
  List(req, ino, size, offset, false);
}

void ReadDirPlus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 fuse_file_info*) {
  List(req, ino, size, offset, true);
}

}  // namespace vellum::ops
