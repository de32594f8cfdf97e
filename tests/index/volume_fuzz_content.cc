// SPDX-License-Identifier: Apache-2.0
// Random operations on the content of files.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>

#include <algorithm>

#include "tests/index/volume_model.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

// Most that may stand in a file's entry, and what certainly does not.
constexpr size_t kInEntry = 1744;
constexpr size_t kNotInEntry = 1832;

}  // namespace

bool VolumeFuzzer::WriteTo(uint64_t id, uint64_t offset, size_t n) {
  std::string data = RandomBytes(n);
  Tag(id, offset, &data);
  const Result<Attr> before = volume_->GetAttr(Ino(id));
  EXPECT_OK(before);
  const Result<size_t> written =
      volume_->Write(Ino(id), offset, std::as_bytes(std::span(data)));
  if (!written.ok() && written.error().code == Errc::kNoSpace) return false;
  EXPECT_OK(written) << last_;
  if (!before.ok() || !written.ok()) return false;
  EXPECT_EQ(*written, n);
  const uint64_t size = before->attr.size;
  if (size > 0 && size <= kInEntry && before->allocated == kSectorSize &&
      offset + n > kNotInEntry) {
    ++counts_.grown_out;
  }
  std::string& content = model_.edit_content(id).content;
  if (content.size() < offset + n) content.resize(offset + n);
  content.replace(offset, n, data);
  last_file_ = id;
  return true;
}

bool VolumeFuzzer::Truncate(uint64_t id, uint64_t size) {
  AttrChange change;
  change.size = size;
  const Result<Attr> attr = volume_->SetAttr(Ino(id), change);
  if (!attr.ok() && attr.error().code == Errc::kNoSpace) return false;
  EXPECT_OK(attr) << last_;
  if (!attr.ok()) return false;
  EXPECT_EQ(attr->attr.size, size);
  model_.edit_content(id).content.resize(size);
  last_file_ = id;
  return true;
}

bool VolumeFuzzer::FallocateIn(uint64_t id, int mode, uint64_t offset,
                               uint64_t length) {
  const Status status = volume_->Fallocate(Ino(id), mode, offset, length);
  if (status.Is(Errc::kNoSpace)) return false;
  if (mode == FALLOC_FL_KEEP_SIZE && status.Is(Errc::kNotSupported)) {
    // Only behind the end.
    EXPECT_GT(offset + length, model_.at(id).content.size()) << last_;
    return false;
  }
  EXPECT_OK(status) << last_;
  if (!status.ok()) return false;
  std::string& content = model_.edit_content(id).content;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && content.size() < offset + length) {
    content.resize(offset + length);
  }
  const uint64_t end = std::min<uint64_t>(offset + length, content.size());
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0 && offset < end) {
    std::fill(content.begin() + static_cast<ptrdiff_t>(offset),
              content.begin() + static_cast<ptrdiff_t>(end), '\0');
  }
  last_file_ = id;
  return true;
}

void VolumeFuzzer::DoWrite() {
  const uint64_t id = PickFile();
  if (id == 0) return DoCreate();
  const size_t size = model_.at(id).content.size();
  size_t n = 0;
  switch (Random(5)) {
    case 0:
      n = 1 + Random(300);
      break;
    case 1:
      n = 1 + Random(5000);
      break;
    case 2:
      n = 4096 * (1 + Random(4));
      break;
    default:
      n = 1 + Random(150'000);
      break;
  }
  uint64_t offset = 0;
  switch (Random(4)) {
    case 0:
      offset = size;
      break;
    case 1:
      offset = size == 0 ? 0 : Random(size);
      break;
    case 2:
      offset = Random(options_.max_file_bytes);
      break;
    default:
      offset = (size == 0 ? 0 : Random(size)) / 4096 * 4096;
      break;
  }
  offset = std::min(offset, options_.max_file_bytes);
  last_ = fmt::format("write {} bytes at {} of node {} (size {})", n, offset,
                      id, size);
  WriteTo(id, offset, n);
}

void VolumeFuzzer::DoTruncate() {
  const uint64_t id = PickFile();
  if (id == 0) return DoCreate();
  const size_t size = model_.at(id).content.size();
  const uint64_t to = Random(3) == 0 ? Random(options_.max_file_bytes)
                                     : (size == 0 ? 0 : Random(size));
  last_ = fmt::format("truncate node {} from {} to {}", id, size, to);
  Truncate(id, to);
}

void VolumeFuzzer::DoFallocate() {
  const uint64_t id = PickFile();
  if (id == 0) return DoCreate();
  const uint64_t offset = Random(options_.max_file_bytes / 2);
  const uint64_t length = 1 + Random(options_.max_file_bytes / 4);
  const int modes[] = {0, FALLOC_FL_KEEP_SIZE,
                       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       FALLOC_FL_ZERO_RANGE};
  const int mode = modes[Random(4)];
  last_ = fmt::format("fallocate mode {} {}+{} of node {} (size {})", mode,
                      offset, length, id, model_.at(id).content.size());
  FallocateIn(id, mode, offset, length);
}

// Every other sector of one file: more pieces than its entry has room for, so
// that their descriptors need a chain of blocks.
void VolumeFuzzer::DoFragment() {
  const uint64_t id = PickFile();
  if (id == 0) return DoCreate();
  const uint64_t pieces = 300 + Random(301);
  const uint64_t how = Random(4);
  last_ = fmt::format("cut node {} into {} pieces, way {}", id, pieces, how);
  if (how > 1 && !WriteTo(id, 0, pieces * 2 * kSectorSize)) return;
  for (uint64_t i = 0; i < pieces; ++i) {
    const uint64_t offset = i * 2 * kSectorSize;
    bool done = false;
    if (how == 0) {
      done = WriteTo(id, offset, kSectorSize);
    } else if (how == 1) {
      done = FallocateIn(id, 0, offset, kSectorSize);
    } else {
      done = FallocateIn(id, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                         kSectorSize);
    }
    if (!done) return;
  }
  ++counts_.fragmented;
  chains_.insert(id);
}

void VolumeFuzzer::DoChain(uint64_t id) {
  const uint64_t size = model_.at(id).content.size();
  switch (Random(6)) {
    case 0:
    case 1: {
      // Down to nothing, to one block of descriptors, to half a one less.
      const uint64_t to = Random(5) == 0 ? 0 : Random(size + 1);
      last_ = fmt::format("cut chain of node {} from {} to {}", id, size, to);
      if (!Truncate(id, to)) return;
      ++counts_.chain_cut;
      if (to < 100 * kSectorSize) chains_.erase(id);
      return;
    }
    case 2:
    case 3: {
      const uint64_t pieces = 20 + Random(100);
      last_ =
          fmt::format("{} pieces more of node {} (size {})", pieces, id, size);
      if (size > 6'000'000) return;
      const uint64_t first = size / kSectorSize + 2;
      for (uint64_t i = 0; i < pieces; ++i) {
        if (!WriteTo(id, (first + 2 * i) * kSectorSize, kSectorSize)) return;
      }
      ++counts_.chain_grown;
      return;
    }
    case 4: {
      const uint64_t offset = size == 0 ? 0 : Random(size);
      const uint64_t n = 1 + Random(60 * kSectorSize);
      last_ = fmt::format(
          "write {} bytes at {} of the chain of node {} "
          "(size {})",
          n, offset, id, size);
      if (WriteTo(id, offset, n)) ++counts_.chain_overwritten;
      return;
    }
    default: {
      AttrChange change;
      change.mode = static_cast<uint32_t>(Random(010000));
      last_ = fmt::format("chmod of node {} with a chain", id);
      ASSERT_OK(volume_->SetAttr(Ino(id), change));
      model_.edit(id).mode = *change.mode;
      return;
    }
  }
}

}  // namespace vellum
