// SPDX-License-Identifier: Apache-2.0
#include "copy/file_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "copy/region_pump.h"
#include "media/udf/reader.h"

namespace vellum {
namespace {

// A snapshot as a medium: what udf::Reader reads from.
class SnapshotMedium : public Medium {
 public:
  explicit SnapshotMedium(const VolumeSnapshot& snapshot)
      : snapshot_(snapshot) {}

  MediumInfo Info() const override {
    MediumInfo info;
    info.sectors = snapshot_.geometry().sectors;
    info.write_protected = true;
    info.name = "volume " + snapshot_.record().id;
    return info;
  }
  Status Read(uint64_t lba, ByteSpan out) override {
    return snapshot_.Read(lba, out);
  }
  Status Write(uint64_t, ConstByteSpan) override { return Refused(); }
  Status Flush() override { return Status::Ok(); }
  Status Discard(uint64_t, uint64_t) override { return Refused(); }
  Result<SectorRange> NextAllocated(SectorRange from) override { return from; }
  void DropReadCache(uint64_t, uint64_t) override {}

 private:
  Status Refused() const {
    return Status(Errc::kWriteProtected, Info().name + ": a generation of it");
  }

  const VolumeSnapshot& snapshot_;
};

class SnapshotFiles : public FileSource {
 public:
  explicit SnapshotFiles(const VolumeSnapshot& snapshot)
      : snapshot_(snapshot), medium_(snapshot) {}

  Status Open() {
    ASSIGN_OR_RETURN(reader_, udf::Reader::Open(&medium_));
    return Status::Ok();
  }

  Status Read(InodeNumber file, const VisitPiece& visit) override {
    ASSIGN_OR_RETURN(const udf::FileEntry entry, reader_->ReadEntry(file));
    if (entry.inline_data) {
      if (entry.inline_data->empty()) return Status::Ok();
      return visit(0, *entry.inline_data);
    }
    for (const udf::Extent& extent : entry.extents) {
      if (extent.unwritten) continue;
      const uint64_t first = extent.file_sector * kSectorSize;
      const uint64_t end =
          std::min(extent.file_end() * kSectorSize, entry.attr.size);
      for (uint64_t at = first; at < end;) {
        buffer_.resize(std::min<uint64_t>(kFilePieceBytes, end - at));
        ASSIGN_OR_RETURN(const size_t got,
                         reader_->ReadFile(entry, at, buffer_));
        if (got != buffer_.size()) {
          return Status(Errc::kCorruption,
                        fmt::format("inode {} of {} ends too early", file,
                                    medium_.Info().name));
        }
        RETURN_IF_ERROR(visit(at, buffer_));
        at += got;
      }
    }
    return Status::Ok();
  }

  Status CheckWhole() const override { return snapshot_.CheckWhole(); }

 private:
  const VolumeSnapshot& snapshot_;
  SnapshotMedium medium_;
  std::unique_ptr<udf::Reader> reader_;
  Bytes buffer_;
};

}  // namespace

Result<std::unique_ptr<FileSource>> SourceOfSnapshot(
    const VolumeSnapshot& snapshot) {
  auto files = std::make_unique<SnapshotFiles>(snapshot);
  RETURN_IF_ERROR(files->Open());
  return std::unique_ptr<FileSource>(std::move(files));
}

Result<std::unique_ptr<StagedFiles>> StagedFiles::Create(const Spool& spool,
                                                         JobId job) {
  std::string path = spool.ImagePath(job);
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError("open " + path, errno);
  return std::unique_ptr<StagedFiles>(
      new StagedFiles(std::move(path), std::move(fd)));
}

Status StagedFiles::Add(InodeNumber file, FileSource* source,
                        const std::function<Status(uint64_t)>& staged) {
  std::vector<Piece> pieces;
  RETURN_IF_ERROR(
      source->Read(file, [&](uint64_t offset, ConstByteSpan data) -> Status {
        size_t done = 0;
        while (done < data.size()) {
          const ssize_t n =
              pwrite(fd_.get(), data.data() + done, data.size() - done,
                     static_cast<off_t>(end_ + done));
          if (n < 0 && errno == EINTR) continue;
          if (n <= 0) return ErrnoError("write " + path_, errno);
          done += static_cast<size_t>(n);
        }
        pieces.push_back({offset, end_, static_cast<uint32_t>(data.size()),
                          HashRegion(data)});
        end_ += data.size();
        return staged(data.size());
      }));
  pieces_[file] = std::move(pieces);
  return Status::Ok();
}

Status StagedFiles::Read(InodeNumber file, const VisitPiece& visit) {
  const auto it = pieces_.find(file);
  if (it == pieces_.end()) {
    return Status(Errc::kNotFound,
                  fmt::format("inode {} could not be staged", file));
  }
  Bytes buffer;
  for (const Piece& piece : it->second) {
    buffer.resize(piece.bytes);
    size_t done = 0;
    while (done < buffer.size()) {
      const ssize_t n =
          pread(fd_.get(), buffer.data() + done, buffer.size() - done,
                static_cast<off_t>(piece.place + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return ErrnoError("read " + path_, n == 0 ? EIO : errno);
      done += static_cast<size_t>(n);
    }
    if (HashRegion(buffer) != piece.hash) {
      return Status(Errc::kCorruption,
                    fmt::format("{} is damaged at byte {}: it is not what was "
                                "read from the volume",
                                path_, piece.place));
    }
    RETURN_IF_ERROR(visit(piece.offset, buffer));
  }
  return Status::Ok();
}

}  // namespace vellum
