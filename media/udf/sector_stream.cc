// SPDX-License-Identifier: Apache-2.0
#include "media/udf/sector_stream.h"

#include <algorithm>
#include <cstring>

namespace vellum::udf {

Status SectorWriter::Append(ConstByteSpan sector) {
  VELLUM_CHECK(sector.size() == kSectorSize);
  while (range_ < ranges_.size() && offset_ == ranges_[range_].count) {
    ++range_;
    offset_ = 0;
  }
  VELLUM_CHECK(range_ < ranges_.size());
  const uint64_t lba = ranges_[range_].first + offset_;
  if (!buffer_.empty() && (lba != start_ + buffer_.size() / kSectorSize ||
                           buffer_.size() >= kTransferSectors * kSectorSize)) {
    RETURN_IF_ERROR(Finish());
  }
  if (buffer_.empty()) start_ = lba;
  buffer_.insert(buffer_.end(), sector.begin(), sector.end());
  ++offset_;
  return Status::Ok();
}

Status SectorWriter::Finish() {
  if (buffer_.empty()) return Status::Ok();
  RETURN_IF_ERROR(medium_->Write(start_, buffer_));
  buffer_.clear();
  return Status::Ok();
}

Status SectorReader::Next(Sector* out) {
  if (at_ == buffer_.size()) {
    while (range_ < ranges_.size() && offset_ == ranges_[range_].count) {
      ++range_;
      offset_ = 0;
    }
    VELLUM_CHECK(range_ < ranges_.size() && left_ > 0);
    const uint64_t count =
        std::min({kTransferSectors, left_, ranges_[range_].count - offset_});
    buffer_.resize(count * kSectorSize);
    at_ = 0;
    RETURN_IF_ERROR(medium_->Read(ranges_[range_].first + offset_, buffer_));
    offset_ += count;
    left_ -= count;
  }
  std::memcpy(out->data(), buffer_.data() + at_, kSectorSize);
  at_ += kSectorSize;
  return Status::Ok();
}

}  // namespace vellum::udf
