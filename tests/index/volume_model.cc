// SPDX-License-Identifier: Apache-2.0
#include "tests/index/volume_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using udf::FileType;

// Where a tag stands, in each 8 bytes of a file.
constexpr uint64_t kTagFirst = 5;

std::byte TagByte(uint64_t unique_id, uint64_t offset) {
  return static_cast<std::byte>(unique_id >> (8 * (offset % 8 - kTagFirst)));
}

}  // namespace

bool IsContentOf(uint64_t unique_id, uint64_t offset, ConstByteSpan content,
                 uint64_t* cells) {
  for (size_t i = 0; i < content.size(); ++i) {
    if ((offset + i) % 8 < kTagFirst || content[i] == std::byte{0}) continue;
    ++*cells;
    if (content[i] != TagByte(unique_id, offset + i)) return false;
  }
  return true;
}

Model::Model() {
  auto root = std::make_shared<ModelNode>();
  root->type = FileType::kDirectory;
  root->mode = 0755;
  nodes[0] = std::move(root);
}

NodeTimes TimesOf(const udf::InodeAttr& attr) {
  return {attr.atime, attr.mtime, attr.ctime, attr.btime};
}

ModelNode& Model::edit(uint64_t id) {
  std::shared_ptr<const ModelNode>& node = nodes.at(id);
  if (node.use_count() > 1) node = std::make_shared<ModelNode>(*node);
  // Made as a plain ModelNode, and nobody else has it.
  ModelNode& out = const_cast<ModelNode&>(*node);
  ++out.version;
  return out;
}

ModelNode& Model::edit_content(uint64_t id) {
  ModelNode& node = edit(id);
  node.mtime.reset();
  return node;
}

std::map<uint64_t, uint64_t> Model::links() const {
  std::map<uint64_t, uint64_t> out;
  for (const auto& [dir, node] : nodes) {
    if (node->type == FileType::kDirectory) out[dir] += dir == 0 ? 2 : 1;
    for (const auto& [name, child] : node->names) {
      ++out[child];
      if (at(child).type == FileType::kDirectory) ++out[dir];
    }
  }
  return out;
}

VolumeFuzzer::VolumeFuzzer(Volume* volume, uint64_t seed,
                           const FuzzOptions& options)
    : volume_(volume), options_(options), rng_(seed) {
  inos_[0] = volume->root();
  const Result<Attr> root = volume->GetAttr(volume->root());
  EXPECT_OK(root);
  if (!root.ok()) return;
  ModelNode& node = model_.edit(0);
  node.mode = root->attr.mode;
  node.uid = root->attr.uid;
  node.gid = root->attr.gid;
}

void VolumeFuzzer::NoteTimes() {
  auto times = std::make_shared<std::map<uint64_t, NodeTimes>>();
  for (const auto& [id, ino] : inos_) {
    const Result<Attr> attr = volume_->GetAttr(ino);
    EXPECT_OK(attr) << "node " << id;
    if (attr.ok()) (*times)[id] = TimesOf(attr->attr);
  }
  model_.times = std::move(times);
}

uint64_t VolumeFuzzer::UniqueId(uint64_t id) const {
  const Result<Attr> attr = volume_->GetAttr(Ino(id));
  EXPECT_OK(attr) << "node " << id;
  return attr.ok() ? attr->attr.unique_id : 0;
}

VolumeFuzzer::Fsynced VolumeFuzzer::PickForFsync() {
  uint64_t id = last_file_;
  if (model_.nodes.count(id) == 0 || Random(3) == 0) id = PickNode();
  return {id, model_.at(id).version};
}

uint64_t VolumeFuzzer::PickDir() {
  std::vector<uint64_t> ids;
  for (const auto& [id, node] : model_.nodes) {
    if (node->type == FileType::kDirectory) ids.push_back(id);
  }
  return ids[Random(ids.size())];
}

uint64_t VolumeFuzzer::PickNode() {
  if (model_.nodes.size() < 2) return 0;
  auto it = model_.nodes.begin();
  std::advance(it, 1 + Random(model_.nodes.size() - 1));
  return it->first;
}

uint64_t VolumeFuzzer::PickFile() {
  std::vector<uint64_t> ids;
  // What stands in an entry that is being committed cannot be read meanwhile.
  constexpr size_t kMaxInEntry = 1832;
  for (const auto& [id, node] : model_.nodes) {
    if (node->type != FileType::kRegular) continue;
    if (free_from_ != 0 && id < free_from_ &&
        node->content.size() <= kMaxInEntry) {
      continue;
    }
    ids.push_back(id);
  }
  return ids.empty() ? 0 : ids[Random(ids.size())];
}

uint64_t VolumeFuzzer::PickChain() {
  std::erase_if(chains_,
                [this](uint64_t id) { return model_.nodes.count(id) == 0; });
  if (chains_.empty()) return 0;
  return *std::next(chains_.begin(), Random(chains_.size()));
}

std::string VolumeFuzzer::NewName() {
  const uint64_t n = name_count_++;
  if (options_.odd_names) {
    switch (Random(12)) {
      case 0:
        return fmt::format("{}-{}", n, std::string(200, 'x'));
      case 1:
        return fmt::format("\xe6\xbc\xa2\xe5\xad\x97 {}", n);
      case 2:
        return fmt::format("bad\xff\xfe{}", n);
      case 3: {
        std::string s = fmt::format("{:04}", n);
        while (s.size() < 250) s += "\xe6\xbc\xa2";
        return s;
      }
      case 4:
        return fmt::format("back\\slash:{}~", n);
      default:
        break;
    }
  }
  return fmt::format("f{}", n);
}

std::string VolumeFuzzer::PickName(uint64_t dir) {
  const auto& names = model_.at(dir).names;
  if (names.empty()) return "";
  auto it = names.begin();
  std::advance(it, Random(names.size()));
  return it->first;
}

std::string VolumeFuzzer::RandomBytes(size_t n) {
  std::string out(n, '\0');
  for (size_t i = 0; i < n; i += 8) {
    const uint64_t r = rng_();
    for (size_t b = 0; b < 8 && i + b < n; ++b) {
      out[i + b] = static_cast<char>(r >> (8 * b));
    }
  }
  return out;
}

void VolumeFuzzer::Tag(uint64_t id, uint64_t offset, std::string* data) {
  if (!options_.tag_content) return;
  const Result<Attr> attr = volume_->GetAttr(Ino(id));
  ASSERT_OK(attr);
  for (size_t i = 0; i < data->size(); ++i) {
    if ((offset + i) % 8 < kTagFirst) continue;
    (*data)[i] = static_cast<char>(TagByte(attr->attr.unique_id, offset + i));
  }
}

void VolumeFuzzer::DropName(uint64_t dir, const std::string& name) {
  const uint64_t id = model_.at(dir).names.at(name);
  model_.edit_content(dir).names.erase(name);
  for (const auto& [other, node] : model_.nodes) {
    for (const auto& [n, child] : node->names) {
      if (child == id) return;
    }
  }
  model_.nodes.erase(id);
  inos_.erase(id);
  counts_.chain_cut += chains_.erase(id);
}

bool VolumeFuzzer::Inside(uint64_t top, uint64_t below) const {
  if (top == below) return true;
  for (const auto& [name, child] : model_.at(top).names) {
    if (model_.at(child).type == FileType::kDirectory && Inside(child, below)) {
      return true;
    }
  }
  return false;
}

void VolumeFuzzer::DoCreate() {
  if (model_.nodes.size() >= options_.max_nodes) return DoRemove();
  const uint64_t dir = PickDir();
  const std::string name = NewName();
  NewInode inode;
  switch (Random(10)) {
    case 0:
    case 1:
    case 2:
      inode.type = FileType::kDirectory;
      break;
    case 3:
      inode.type = FileType::kSymlink;
      inode.symlink_target = RandomBytes(4);
      for (char& c : inode.symlink_target)
        c = static_cast<char>('a' + (c & 15));
      if (Random(3) == 0) {
        inode.symlink_target = std::string(1 + Random(3500), 't');
      }
      break;
    case 4:
      inode.type = FileType::kFifo;
      break;
    default:
      break;
  }
  inode.mode = static_cast<uint32_t>(Random(010000));
  inode.uid = static_cast<uint32_t>(Random(100000));
  inode.gid = static_cast<uint32_t>(Random(100000));
  last_ = fmt::format("create '{}' in {}", name, dir);
  CreateIn(dir, name, inode);
}

bool VolumeFuzzer::CreateIn(uint64_t dir, const std::string& name,
                            const NewInode& inode) {
  const Result<Attr> made = volume_->Create(Ino(dir), name, inode);
  if (!made.ok() && made.error().code == Errc::kNoSpace) return false;
  if (inode.symlink_target.size() > 255 && !made.ok()) {
    // One component of that length cannot be written down.
    EXPECT_THAT(made, HasErrc(Errc::kNameTooLong));
    return false;
  }
  EXPECT_OK(made) << last_;
  if (!made.ok()) return false;
  ModelNode node;
  node.type = inode.type;
  node.mode = inode.mode;
  node.uid = inode.uid;
  node.gid = inode.gid;
  node.target = inode.symlink_target;
  const uint64_t id = model_.next++;
  model_.nodes[id] = std::make_shared<ModelNode>(std::move(node));
  model_.edit_content(dir).names[name] = id;
  inos_[id] = made->ino;
  return true;
}

// A hundred nodes at once: touched together they need a record that is larger
// than the ring.
void VolumeFuzzer::DoCrowd() {
  const uint64_t dir = PickDir();
  for (int i = 0; i < 100 && model_.nodes.size() < options_.max_nodes; ++i) {
    NewInode inode;
    if (i % 8 == 0) inode.type = FileType::kDirectory;
    inode.mode = static_cast<uint32_t>(Random(010000));
    const std::string name = NewName();
    last_ = fmt::format("crowd: '{}' in {}", name, dir);
    if (!CreateIn(dir, name, inode)) return;
  }
}

void VolumeFuzzer::DoRemove() {
  const uint64_t dir = PickDir();
  const std::string name = PickName(dir);
  if (name.empty()) return;
  const uint64_t id = model_.at(dir).names.at(name);
  last_ = fmt::format("remove '{}' (node {}) from {}", name, id, dir);
  if (model_.at(id).type == FileType::kDirectory) {
    const Status status = volume_->Rmdir(Ino(dir), name);
    if (!model_.at(id).names.empty()) {
      ASSERT_THAT(status, HasErrc(Errc::kNotEmpty)) << last_;
      return;
    }
    ASSERT_OK(status);
  } else {
    ASSERT_OK(volume_->Unlink(Ino(dir), name));
  }
  DropName(dir, name);
}

void VolumeFuzzer::DoRename() {
  const uint64_t from = PickDir();
  const std::string name = PickName(from);
  if (name.empty()) return DoCreate();
  const uint64_t to = PickDir();
  std::string to_name = Random(2) == 0 ? PickName(to) : NewName();
  if (to_name.empty()) to_name = NewName();
  const uint64_t id = model_.at(from).names.at(name);
  const bool exchange = Random(6) == 0;
  last_ = fmt::format("rename '{}' in {} to '{}' in {}{}", name, from, to_name,
                      to, exchange ? " (exchange)" : "");
  const Status status =
      volume_->Rename(Ino(from), name, Ino(to), to_name,
                      exchange ? RenameMode::kExchange : RenameMode::kReplace);
  const auto existing = model_.at(to).names.find(to_name);
  const bool present = existing != model_.at(to).names.end();
  const uint64_t other = present ? existing->second : 0;
  if (status.Is(Errc::kNoSpace)) return;
  if (exchange && !present) {
    ASSERT_THAT(status, HasErrc(Errc::kNotFound)) << last_;
    return;
  }
  if (present && other == id) {
    ASSERT_OK(status);
    return;
  }
  const bool dir = model_.at(id).type == FileType::kDirectory;
  if (dir && Inside(id, to)) {
    ASSERT_THAT(status, HasErrc(Errc::kInvalidArgument)) << last_;
    return;
  }
  const bool other_dir =
      present && model_.at(other).type == FileType::kDirectory;
  if (exchange) {
    if (other_dir && Inside(other, from)) {
      ASSERT_THAT(status, HasErrc(Errc::kInvalidArgument)) << last_;
      return;
    }
    ASSERT_OK(status);
    model_.edit_content(from).names[name] = other;
    model_.edit_content(to).names[to_name] = id;
    return;
  }
  if (present && dir != other_dir) {
    ASSERT_THAT(status, HasErrc(dir ? Errc::kNotDirectory : Errc::kIsDirectory))
        << last_;
    return;
  }
  if (other_dir && !model_.at(other).names.empty()) {
    ASSERT_THAT(status, HasErrc(Errc::kNotEmpty)) << last_;
    return;
  }
  ASSERT_OK(status);
  if (present) DropName(to, to_name);
  model_.edit_content(from).names.erase(name);
  model_.edit_content(to).names[to_name] = id;
}

void VolumeFuzzer::DoLink() {
  const uint64_t id = PickFile();
  if (id == 0) return DoCreate();
  const uint64_t dir = PickDir();
  const std::string name = NewName();
  last_ = fmt::format("link node {} as '{}' in {}", id, name, dir);
  const Result<Attr> attr = volume_->Link(Ino(id), Ino(dir), name);
  if (!attr.ok() && attr.error().code == Errc::kNoSpace) return;
  ASSERT_OK(attr);
  model_.edit_content(dir).names[name] = id;
}

void VolumeFuzzer::DoAttr() {
  const uint64_t id = Random(10) == 0 ? 0 : PickNode();
  AttrChange change;
  change.mode = static_cast<uint32_t>(Random(010000));
  change.uid = static_cast<uint32_t>(Random(70000));
  change.gid = static_cast<uint32_t>(Random(70000));
  // Some are of years that a UDF timestamp cannot hold.
  const auto any_time = [this] {
    int64_t sec = static_cast<int64_t>(Random(4'000'000'000));
    if (Random(8) == 0) sec = (sec - 2'000'000'000) * 1'000'000;
    return TimeSpec{sec, static_cast<uint32_t>(Random(1'000'000'000))};
  };
  change.mtime = any_time();
  if (Random(2) == 0) change.atime = any_time();
  last_ = fmt::format("setattr of node {}, mtime {}", id, change.mtime->sec);
  const Result<Attr> attr = volume_->SetAttr(Ino(id), change);
  if (!attr.ok() && attr.error().code == Errc::kNoSpace) return;
  ASSERT_OK(attr);
  ModelNode& node = model_.edit(id);
  node.mode = *change.mode;
  node.uid = *change.uid;
  node.gid = *change.gid;
  node.mtime = change.mtime;
  if (change.atime) node.atime = change.atime;
}

void VolumeFuzzer::DoXattr() {
  const uint64_t id = PickNode();
  const std::string name = fmt::format("user.a{}", Random(4));
  const auto& xattrs = model_.at(id).xattrs;
  if (xattrs.count(name) != 0 && Random(2) == 0) {
    last_ = fmt::format("removexattr {} of node {}", name, id);
    ASSERT_OK(volume_->RemoveXattr(Ino(id), name));
    model_.edit(id).xattrs.erase(name);
    return;
  }
  const std::string value = RandomBytes(Random(300));
  last_ =
      fmt::format("setxattr {} of node {}, {} bytes", name, id, value.size());
  const Status status = volume_->SetXattr(Ino(id), name, value, 0);
  if (status.Is(Errc::kNoSpace)) return;
  ASSERT_OK(status);
  model_.edit(id).xattrs[name] = value;
}

void VolumeFuzzer::DoRewriteDirectory() {
  // Many names in one directory, so that it grows, moves and shrinks.
  const uint64_t dir = PickDir();
  const uint64_t file = PickFile();
  if (file == 0) return DoCreate();
  if (Random(2) == 0) {
    for (int i = 0; i < 40; ++i) {
      const std::string name = NewName();
      last_ = fmt::format("many links: '{}' in {}", name, dir);
      const Result<Attr> attr = volume_->Link(Ino(file), Ino(dir), name);
      if (!attr.ok() && attr.error().code == Errc::kNoSpace) return;
      ASSERT_OK(attr);
      model_.edit_content(dir).names[name] = file;
    }
    return;
  }
  for (int i = 0; i < 60; ++i) {
    const std::string name = PickName(dir);
    if (name.empty()) return;
    const uint64_t id = model_.at(dir).names.at(name);
    if (model_.at(id).type == FileType::kDirectory) continue;
    last_ = fmt::format("many unlinks: '{}' in {}", name, dir);
    ASSERT_OK(volume_->Unlink(Ino(dir), name));
    DropName(dir, name);
  }
}

void VolumeFuzzer::DoTouchAll() {
  last_ = "touch every node";
  AttrChange change;
  change.mode = static_cast<uint32_t>(Random(010000));
  for (const auto& [id, ino] : inos_) {
    ASSERT_OK(volume_->SetAttr(ino, change));
    model_.edit(id).mode = *change.mode;
  }
}

void VolumeFuzzer::Step() {
  model_.times.reset();
  if (options_.touch_all && Random(60) == 0) return DoTouchAll();
  if (options_.crowds && Random(40) == 0) return DoCrowd();
  if (options_.max_chains > 0 && Random(16) == 0) {
    const uint64_t chain = PickChain();
    if (chains_.size() < options_.max_chains && Random(2) == 0) {
      return DoFragment();
    }
    if (chain != 0) return DoChain(chain);
  }
  const uint64_t what = Random(100);
  if (what < 22) return DoCreate();
  if (what < 50) return DoWrite();
  if (what < 57) return DoTruncate();
  if (what < 69) return DoRemove();
  if (what < 79) return DoRename();
  if (what < 84) return DoLink();
  if (what < 89) return DoAttr();
  if (what < 94) return DoXattr();
  if (what < 97) return DoFallocate();
  DoRewriteDirectory();
}

void VolumeFuzzer::StepsInCommit(int count, bool all) {
  free_from_ = all ? 0 : model_.next;
  for (int i = 0; i < count && !testing::Test::HasFatalFailure(); ++i) Step();
  free_from_ = 0;
}

}  // namespace vellum
