// SPDX-License-Identifier: Apache-2.0
#include "media/write_once_medium.h"

#include <fmt/format.h>

#include "media/medium_range.h"

namespace vellum {

MediumInfo WriteOnceMedium::Info() const {
  MediumInfo info = below().Info();
  info.medium_class = MediumClass::kWriteOnce;
  MutexLock lock(&mu_);
  info.write_protected = info.write_protected || !usable_;
  return info;
}

Status WriteOnceMedium::BeginWrite(uint64_t lba, bool* first) {
  const std::string name = below().Info().name;
  MutexLock lock(&mu_);
  if (!usable_) {
    return Status(
        Errc::kWriteProtected,
        fmt::format("{}: a write-once medium that was written already", name));
  }
  if (writing_ || lba != next_) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("{}: a write-once medium takes sector {} next, "
                              "not {}",
                              name, next_, lba));
  }
  writing_ = true;
  *first = state_ == WrittenState::kBlank;
  return Status::Ok();
}

void WriteOnceMedium::EndWrite(const Status& status, WrittenState state,
                               uint64_t sectors) {
  MutexLock lock(&mu_);
  writing_ = false;
  state_ = state;
  next_ += sectors;
  if (!status.ok() || state == WrittenState::kClosed) usable_ = false;
}

Status WriteOnceMedium::WriteBy(Writer write, uint64_t lba,
                                ConstByteSpan data) {
  const MediumInfo info = below().Info();
  RETURN_IF_ERROR(CheckTransfer(info, "write", lba, data.size()));
  RETURN_IF_ERROR(CheckWritable(info, "write"));
  bool first = false;
  RETURN_IF_ERROR(BeginWrite(lba, &first));
  Status status;
  // It is not blank any more, whatever becomes of the write.
  if (first) status = keep_(WrittenState::kOpen);
  if (status.ok()) status = ForwardingMedium::WriteBy(write, lba, data);
  EndWrite(status, WrittenState::kOpen, data.size() / kSectorSize);
  return status;
}

Status WriteOnceMedium::Discard(uint64_t lba, uint64_t count) {
  RETURN_IF_ERROR(CheckSectorRange(below().Info(), "discard", lba, count));
  return Status(Errc::kNotSupported,
                below().Info().name + ": discard on a write-once medium");
}

Status WriteOnceMedium::Finalize() {
  const MediumInfo info = below().Info();
  bool first = false;
  {
    MutexLock lock(&mu_);
    if (usable_ && next_ == 0) {
      return Status(Errc::kInvalidArgument,
                    info.name + ": nothing was written that could be closed");
    }
    first = usable_ && !writing_;
    if (first) writing_ = true;
  }
  if (!first) {
    return Status(Errc::kWriteProtected,
                  info.name + ": it cannot be closed: its writing has ended");
  }
  Status status = below().Flush();
  if (status.ok()) status = keep_(WrittenState::kClosed);
  EndWrite(status, status.ok() ? WrittenState::kClosed : WrittenState::kOpen,
           0);
  return status;
}

}  // namespace vellum
