// SPDX-License-Identifier: Apache-2.0
#include "media/manual/dock_medium.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "media/udf/control.h"
#include "media/udf/layout.h"

namespace vellum {

namespace {

constexpr std::chrono::milliseconds kLockTimeout{5000};

// Both control slots.
constexpr uint64_t kLabelFirst = udf::kSlotASector;
constexpr uint64_t kLabelEnd = udf::kSlotBSector + udf::kSlotSectors;

}  // namespace

Result<std::unique_ptr<DockMedium>> DockMedium::Open(
    const DockMediumOptions& options) {
  ImageMediumOptions image;
  image.allow_block_device = true;
  image.atomic_sectors = options.atomic_sectors;
  image.name = options.name;
  image.lock_timeout = kLockTimeout;
  ASSIGN_OR_RETURN(std::unique_ptr<ImageMedium> base,
                   ImageMedium::Open(options.path, image));
  std::unique_ptr<DockMedium> medium(new DockMedium(options, std::move(base)));
  RETURN_IF_ERROR(medium->CheckThere("open"));
  return medium;
}

Status DockMedium::CheckThere(const char* operation) {
  if (!gone_.load() &&
      Dock::IsThere(below().DirectFd(), options_.path, options_.fingerprint)) {
    return Status::Ok();
  }
  if (!gone_.exchange(true)) {
    spdlog::error("{}: taken out while it was in use", options_.name);
  }
  return Status(Errc::kNoMedium,
                fmt::format("{}: {}: the medium was taken out while it was in "
                            "use",
                            options_.name, operation));
}

void DockMedium::NoteWrite(uint64_t lba, uint64_t sectors) {
  if (lba < kLabelEnd && lba + sectors > kLabelFirst) label_written_ = true;
}

void DockMedium::TellLabel() {
  if (!options_.on_label || !label_written_.exchange(false)) return;
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(below());
  options_.on_label(slot.ok() ? slot->medium_uuid : "");
}

Status DockMedium::Read(uint64_t lba, ByteSpan out) {
  RETURN_IF_ERROR(CheckThere("read"));
  return below().Read(lba, out);
}

Status DockMedium::WriteBy(Writer write, uint64_t lba, ConstByteSpan data) {
  RETURN_IF_ERROR(CheckThere("write"));
  NoteWrite(lba, data.size() / kSectorSize);
  return ForwardingMedium::WriteBy(write, lba, data);
}

Status DockMedium::Flush() {
  RETURN_IF_ERROR(CheckThere("flush"));
  RETURN_IF_ERROR(below().Flush());
  // A medium that was pulled meanwhile may lack the last of it.
  RETURN_IF_ERROR(CheckThere("flush"));
  TellLabel();
  return Status::Ok();
}

Status DockMedium::Discard(uint64_t lba, uint64_t count) {
  RETURN_IF_ERROR(CheckThere("discard"));
  NoteWrite(lba, count);
  return below().Discard(lba, count);
}

Result<SectorRange> DockMedium::NextAllocated(SectorRange from) {
  RETURN_IF_ERROR(CheckThere("search for data"));
  return below().NextAllocated(from);
}

}  // namespace vellum
