// SPDX-License-Identifier: Apache-2.0
// Meta file, integers little-endian:
//   0   8  "VSPOOL01"
//   8   4  length L of the JSON header
//   12  L  {"volume","medium_uuid","format_uuid","lineage","number","whole",
//           "geometry":[...]}
//       8  number of bitmap bytes, then the bitmap
//       8  number of runs, then for each: first region, count (8 bytes each)
//       8  number of hashes, then the hashes (8 bytes each)
//       4  CRC32C of everything before
#include "copy/spool_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "media/udf/bytes.h"
#include "media/udf/codec.h"

namespace vellum {
namespace {

constexpr std::string_view kMagic = "VSPOOL01";
constexpr uint64_t kMetaSlack = 4096;  // header, counters
constexpr uint64_t kIndexStep = 256;   // regions

Status WriteAt(int fd, ConstByteSpan data, uint64_t offset,
               const std::string& path) {
  while (!data.empty()) {
    const ssize_t n =
        pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("write " + path, errno);
    }
    data = data.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return Status::Ok();
}

Status ReadAt(int fd, ByteSpan out, uint64_t offset, const std::string& path) {
  while (!out.empty()) {
    const ssize_t n =
        pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("read " + path, errno);
    }
    if (n == 0) return Status(Errc::kCorruption, path + " is cut short");
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return Status::Ok();
}

template <typename T>
void AppendLe(std::string* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out->push_back(static_cast<char>((value >> (8 * i)) & 0xFF));
  }
}

// Reads the counted pieces of a meta file; every count is checked.
class MetaReader {
 public:
  explicit MetaReader(ConstByteSpan data) : data_(data) {}
  bool Take(size_t n, ConstByteSpan* out) {
    if (data_.size() - at_ < n) return false;
    *out = data_.subspan(at_, n);
    at_ += n;
    return true;
  }
  bool Number(uint64_t* out) {
    ConstByteSpan raw;
    if (!Take(8, &raw)) return false;
    *out = udf::Load64(raw, 0);
    return true;
  }
  bool Numbers(uint64_t factor, std::vector<uint64_t>* out) {
    uint64_t count = 0;
    if (!Number(&count)) return false;
    if (count > (data_.size() - at_) / (8 * factor)) return false;
    out->resize(count * factor);
    for (uint64_t& value : *out) {
      if (!Number(&value)) return false;
    }
    return true;
  }

 private:
  ConstByteSpan data_;
  size_t at_ = 0;
};

nlohmann::json GeometryToJson(const udf::Geometry& g) {
  return {g.sectors,     g.ring_first,      g.ring_sectors,     g.log_first,
          g.log_sectors, g.partition_first, g.partition_blocks, g.bitmap_blocks,
          g.root_block,  g.first_free_block};
}

udf::Geometry GeometryFromJson(const nlohmann::json& j) {
  udf::Geometry g;
  g.sectors = j.at(0);
  g.ring_first = j.at(1);
  g.ring_sectors = j.at(2);
  g.log_first = j.at(3);
  g.log_sectors = j.at(4);
  g.partition_first = j.at(5);
  g.partition_blocks = j.at(6);
  g.bitmap_blocks = j.at(7);
  g.root_block = j.at(8);
  g.first_free_block = j.at(9);
  return g;
}

}  // namespace

uint64_t SpoolImage::BytesNeeded(const CopySource& source) {
  const uint64_t sectors = source.map->CountSectors(source.regions);
  return sectors * kSectorSize + source.map->bitmap().size() +
         source.regions.count() * 8 + kMetaSlack;
}

void SpoolImage::IndexPlaces() {
  uint64_t sector = 0;
  for (const RegionSet::Run& run : regions_.Runs()) {
    for (uint64_t i = 0; i < run.count; ++i) {
      // Short steps, so that Read need not count far.
      if (i % kIndexStep == 0) places_.push_back({run.first + i, sector});
      sector += static_cast<uint64_t>(std::popcount(map_->Mask(run.first + i)));
    }
  }
}

uint64_t SpoolImage::CountUsed(uint64_t first, uint64_t count) const {
  uint64_t sectors = 0;
  for (uint64_t r = first; r < first + count; ++r) {
    sectors += static_cast<uint64_t>(std::popcount(map_->Mask(r)));
  }
  return sectors;
}

Result<std::unique_ptr<SpoolImage>> SpoolImage::Create(
    Spool* spool, JobId job, const CopySource& source) {
  RETURN_IF_ERROR(spool->Reserve(job, BytesNeeded(source)));
  auto image = std::unique_ptr<SpoolImage>(new SpoolImage());
  image->image_path_ = spool->ImagePath(job);
  image->meta_path_ = spool->MetaPath(job);
  image->identity_ = source.identity;
  image->map_ = source.map;
  image->regions_ = source.regions;
  image->hashes_ = std::make_shared<std::vector<uint64_t>>();
  image->IndexPlaces();
  if (unlink(image->meta_path_.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError("remove " + image->meta_path_, errno);
  }
  image->fd_ = UniqueFd(
      open(image->image_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!image->fd_.valid()) {
    return ErrnoError("open " + image->image_path_, errno);
  }
  return image;
}

Status SpoolImage::Append(const RegionChunk& chunk) {
  VELLUM_CHECK(chunk.index == hashes_->size());
  const uint64_t used = CountUsed(chunk.first_region, chunk.regions);
  ConstByteSpan data = chunk.data;
  if (used != chunk.sectors.count) {
    packed_.resize(used * kSectorSize);
    size_t to = 0;
    for (uint64_t s = 0; s < chunk.sectors.count; ++s) {
      if (!map_->Uses(chunk.sectors.first + s)) continue;
      std::memcpy(packed_.data() + to, chunk.data.data() + s * kSectorSize,
                  kSectorSize);
      to += kSectorSize;
    }
    data = packed_;
  }
  RETURN_IF_ERROR(WriteAt(fd_.get(), data, end_ * kSectorSize, image_path_));
  end_ += used;
  hashes_->insert(hashes_->end(), chunk.hashes.begin(), chunk.hashes.end());
  return Status::Ok();
}

Status SpoolImage::Finish() {
  VELLUM_CHECK(hashes_->size() == regions_.count());
  const nlohmann::json header = {
      {"volume", identity_.volume_id},
      {"medium_uuid", identity_.medium_uuid},
      {"format_uuid", identity_.format_uuid},
      {"lineage", identity_.generation.lineage},
      {"number", identity_.generation.number},
      {"whole", map_->whole()},
      {"geometry", GeometryToJson(map_->geometry())}};
  const std::string text = header.dump();
  std::string meta(kMagic);
  AppendLe(&meta, static_cast<uint32_t>(text.size()));
  meta += text;
  AppendLe(&meta, uint64_t{map_->bitmap().size()});
  meta += udf::ToText(map_->bitmap());
  const std::vector<RegionSet::Run> runs = regions_.Runs();
  AppendLe(&meta, uint64_t{runs.size()});
  for (const RegionSet::Run& run : runs) {
    AppendLe(&meta, run.first);
    AppendLe(&meta, run.count);
  }
  AppendLe(&meta, uint64_t{hashes_->size()});
  for (const uint64_t hash : *hashes_) AppendLe(&meta, hash);
  AppendLe(&meta, udf::Crc32c(udf::AsBytes(meta)));
  return ReplaceFile(meta_path_, meta);
}

void SpoolImage::BeginSettle() const {
  // Only Settle's answer counts.
  sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
}

Status SpoolImage::Settle() const {
  if (fdatasync(fd_.get()) == 0) return Status::Ok();
  return ErrnoError("write " + image_path_, errno);
}

Status SpoolImage::Check(const std::stop_token& stop,
                         CopyCounters* counters) const {
  const CopySource source = Source();
  counters->Begin(regions_.count());
  return PumpRegions(
      regions_, map_->geometry().sectors, stop,
      [&source](RegionChunk* chunk) { return source.Fill(chunk); },
      [counters](RegionChunk& chunk) {
        counters->regions_done += chunk.regions;
        return Status::Ok();
      });
}

Result<std::unique_ptr<SpoolImage>> SpoolImage::Open(const Spool& spool,
                                                     JobId job) {
  auto image = std::unique_ptr<SpoolImage>(new SpoolImage());
  image->image_path_ = spool.ImagePath(job);
  image->meta_path_ = spool.MetaPath(job);
  ASSIGN_OR_RETURN(const std::string meta, ReadWholeFile(image->meta_path_));
  const Error damaged = {Errc::kCorruption, image->meta_path_ + " is damaged"};
  const ConstByteSpan data = udf::AsBytes(meta);
  if (data.size() < kMagic.size() + 8 || meta.rfind(kMagic, 0) != 0) {
    return damaged;
  }
  const ConstByteSpan body = data.first(data.size() - 4);
  if (udf::Crc32c(body) != udf::Load32(data, body.size())) return damaged;

  MetaReader reader(body.subspan(kMagic.size()));
  ConstByteSpan raw, text, bitmap;
  uint64_t bitmap_bytes = 0;
  std::vector<uint64_t> runs;
  image->hashes_ = std::make_shared<std::vector<uint64_t>>();
  if (!reader.Take(4, &raw) || !reader.Take(udf::Load32(raw, 0), &text) ||
      !reader.Number(&bitmap_bytes) || !reader.Take(bitmap_bytes, &bitmap) ||
      !reader.Numbers(2, &runs) || !reader.Numbers(1, image->hashes_.get())) {
    return damaged;
  }
  // The CRC was right: what follows is as Finish wrote it.
  const nlohmann::json header =
      nlohmann::json::parse(udf::ToText(text), nullptr, false);
  if (header.is_discarded()) return damaged;
  image->identity_.volume_id = header.value("volume", "");
  image->identity_.medium_uuid = header.value("medium_uuid", "");
  image->identity_.format_uuid = header.value("format_uuid", "");
  image->identity_.generation.lineage = header.value("lineage", uint64_t{0});
  image->identity_.generation.number = header.value("number", uint64_t{0});
  const nlohmann::json geometry =
      header.value("geometry", nlohmann::json::array());
  if (geometry.size() != 10) return damaged;
  image->map_ = std::make_shared<const SectorMap>(
      GeometryFromJson(geometry), Bytes(bitmap.begin(), bitmap.end()),
      header.value("whole", false));
  for (size_t i = 0; i < runs.size(); i += 2) {
    image->regions_.InsertRange(runs[i], runs[i + 1]);
  }
  if (image->hashes_->size() != image->regions_.count()) return damaged;
  image->IndexPlaces();
  image->fd_ = UniqueFd(open(image->image_path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!image->fd_.valid()) {
    return ErrnoError("open " + image->image_path_, errno);
  }
  return image;
}

Status SpoolImage::Read(uint64_t lba, ByteSpan out) const {
  const uint64_t first = lba / kRegionSectors;
  const uint64_t count =
      (out.size() / kSectorSize + kRegionSectors - 1) / kRegionSectors;
  auto it =
      std::upper_bound(places_.begin(), places_.end(), first,
                       [](uint64_t r, const Place& p) { return r < p.region; });
  VELLUM_CHECK(it != places_.begin());
  --it;
  const uint64_t at =
      (it->sector + CountUsed(it->region, first - it->region)) * kSectorSize;
  const uint64_t used = CountUsed(first, count);
  if (used * kSectorSize == out.size()) {
    return ReadAt(fd_.get(), out, at, image_path_);
  }
  Bytes packed(used * kSectorSize);
  RETURN_IF_ERROR(ReadAt(fd_.get(), packed, at, image_path_));
  size_t from = 0;
  for (uint64_t s = 0; s < out.size() / kSectorSize; ++s) {
    std::byte* const to = out.data() + s * kSectorSize;
    if (map_->Uses(lba + s)) {
      std::memcpy(to, packed.data() + from, kSectorSize);
      from += kSectorSize;
    } else {
      std::memset(to, 0, kSectorSize);
    }
  }
  return Status::Ok();
}

CopySource SpoolImage::Source() const {
  CopySource source;
  source.identity = identity_;
  source.map = map_;
  source.regions = regions_;
  source.read = [this](uint64_t lba, ByteSpan out) { return Read(lba, out); };
  source.check_whole = [] { return Status::Ok(); };
  source.expected = hashes_;
  return source;
}

}  // namespace vellum
