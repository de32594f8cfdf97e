// SPDX-License-Identifier: Apache-2.0
// FileSource: the contents of the files of one generation: from a pinned
// snapshot, or from the spool, where one drive has to serve both sides.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <unordered_map>
#include <vector>

#include "copy/job.h"
#include "copy/spool.h"
#include "index/snapshot.h"
#include "media/error.h"
#include "media/file_util.h"
#include "media/types.h"

namespace vellum {

// Stretches of a file that are no hole, ascending, of at most kFilePieceBytes.
inline constexpr size_t kFilePieceBytes = 1u << 20;
using VisitPiece = std::function<Status(uint64_t offset, ConstByteSpan data)>;

// Thread-safety: one thread at a time.
class FileSource {
 public:
  virtual ~FileSource() = default;
  // What `visit` answers ends the reading and is answered.
  virtual Status Read(InodeNumber file, const VisitPiece& visit) = 0;
  // Asked when everything was read: was all of it the same generation?
  virtual Status CheckWhole() const = 0;
};

// The snapshot outlives it.
Result<std::unique_ptr<FileSource>> SourceOfSnapshot(
    const VolumeSnapshot& snapshot);

// The contents of some files in the job's space in the spool. A piece is hashed
// when it is put there, and checked when it is read again.
class StagedFiles : public FileSource {
 public:
  // REQUIRES: the job has reserved the space.
  static Result<std::unique_ptr<StagedFiles>> Create(const Spool& spool,
                                                     JobId job);
  // Reads the file from `source`. `staged` is told of the bytes.
  Status Add(InodeNumber file, FileSource* source,
             const std::function<Status(uint64_t bytes)>& staged);

  bool Holds(InodeNumber file) const { return pieces_.count(file) != 0; }

  Status Read(InodeNumber file, const VisitPiece& visit) override;
  Status CheckWhole() const override { return Status::Ok(); }

 private:
  struct Piece {
    uint64_t offset = 0;  // in the file
    uint64_t place = 0;   // in the spool
    uint32_t bytes = 0;
    uint64_t hash = 0;
  };
  StagedFiles(std::string path, UniqueFd fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}

  const std::string path_;
  const UniqueFd fd_;
  uint64_t end_ = 0;
  std::unordered_map<InodeNumber, std::vector<Piece>> pieces_;
};

}  // namespace vellum
