// SPDX-License-Identifier: Apache-2.0
// A patched volume, read as rescan, fsck and `mount --image` read it.
#include "media/udf/bytes.h"
#include "media/udf/format.h"
#include "media/udf/fsck.h"
#include "media/udf/journal.h"
#include "media/udf/reader.h"
#include "tests/fuzz/base_volume.h"
#include "tests/fuzz/targets.h"

namespace vellum::fuzz {
namespace {

void ReadTree(Medium* medium) {
  const auto reader = udf::Reader::Open(medium);
  if (!reader.ok()) {
    CheckReported(reader.status());
    return;
  }
  const uint32_t blocks = (*reader)->description().geometry.partition_blocks;
  Bytes buffer(16 * 1024);
  udf::Reader::Visitor visitor;
  visitor.inode = [&](uint32_t icb, const udf::FileEntry& entry) {
    VELLUM_CHECK(icb < blocks);
    const uint64_t size = entry.attr.size;
    for (const uint64_t at : {uint64_t{0}, size / 2, size - 1}) {
      const Result<size_t> got = (*reader)->ReadFile(entry, at, buffer);
      CheckReported(got.status());
      VELLUM_CHECK(!got.ok() || *got <= buffer.size());
    }
    return Status::Ok();
  };
  visitor.link = [](uint32_t, const udf::DirEntry& entry) {
    VELLUM_CHECK(!entry.fid.name.empty() && entry.fid.name.size() <= 255 &&
                 entry.fid.name.find('/') == std::string::npos);
    return Status::Ok();
  };
  CheckReported((*reader)->Walk(visitor));
  CheckReported((*reader)->ReadLvid().status());
}

void ReadVolume(const MemoryMedium& image) {
  const std::unique_ptr<MemoryMedium> medium = image.Clone();
  medium->SetWriteProtected(true);
  const Result<udf::MediumContent> content = udf::ProbeMedium(*medium);
  CheckReported(content.status());
  const Result<udf::ControlSlot> slot = udf::ReadControlSlot(*medium);
  CheckReported(slot.status());
  const Result<udf::VolumeDescription> description =
      udf::ReadDescription(*medium);
  CheckReported(description.status());
  if (slot.ok() && description.ok()) {
    const udf::Geometry& g = description->geometry;
    CheckReported(udf::ReadControlLog(*medium, g).status());
    Result<udf::ReplayPlan> plan = udf::PlanReplay(*medium, g, *slot);
    CheckReported(plan.status());
    if (plan.ok()) {
      udf::ReplayedMedium view(medium->Clone(), std::move(plan->images));
      ReadTree(&view);
      return;
    }
  }
  ReadTree(medium.get());
}

}  // namespace

void RunUdfImage(ConstByteSpan data) {
  Input input(data);
  const uint8_t kind = input.Byte();
  const BaseVolume& base = (kind & 2) != 0 ? LargerBase() : Base();
  const MemoryMedium& good = (kind & 1) != 0 ? *base.pending : *base.clean;
  const std::unique_ptr<MemoryMedium> medium =
      (kind & 2) != 0 ? CutOff(good, input.Word()) : good.Clone();
  ApplyPatches(&input, base.places, medium.get());
  ReadVolume(*medium);
  udf::FsckOptions options;
  options.check_data = true;
  const Result<udf::FsckReport> report = udf::CheckVolume(*medium, options);
  CheckReported(report.status());
  if (!report.ok()) return;
  for (const udf::FsckFinding& finding : report->errors) {
    VELLUM_CHECK(!finding.text.empty());
  }
}

std::vector<Bytes> UdfImageSeeds() {
  std::vector<Bytes> seeds;
  for (uint8_t base : {uint8_t{0}, uint8_t{1}}) {
    seeds.push_back({std::byte{base}});
    for (uint8_t place = 0; place < Base().places.interesting.size(); ++place) {
      Bytes seed = {std::byte{base}};
      AppendPatch(place, true, 24 + place * 8, udf::AsBytes("\x01\xFF"), &seed);
      seeds.push_back(seed);
    }
  }
  for (uint8_t place = 0; place < Base().places.interesting.size(); ++place) {
    // In a directory: the block of the first name, outside.
    Bytes seed = {std::byte{0}};
    AppendPatch(place, true, 64, udf::AsBytes("\xFF\xFF\xFF"), &seed);
    seeds.push_back(seed);
  }
  // The end is missing.
  for (uint8_t sectors : {0, 1, 200, 255}) {
    seeds.push_back({std::byte{2}, std::byte{sectors}, std::byte{3}});
    seeds.push_back({std::byte{3}, std::byte{sectors}, std::byte{3}});
  }
  return seeds;
}

}  // namespace vellum::fuzz
