// SPDX-License-Identifier: Apache-2.0
// What is checked of the database's files before RocksDB makes the best of
// them.
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "index/catalog_impl.h"
#include "media/udf/codec.h"

namespace vellum {
namespace {

// Holds "MANIFEST-000005 1234\n".
constexpr std::string_view kNoteFile = "/VELLUM-MANIFEST";
constexpr std::string_view kManifestPrefix = "MANIFEST-";

// RocksDB's logs: blocks with records that may be split at their ends, each
// piece behind a header of CRC (4 bytes, little-endian), length (2) and type
// (1), or zeros.
constexpr size_t kLogBlock = 32768;
constexpr size_t kLogHeader = 7;
enum LogPieceType : uint8_t {
  kLogWhole = 1,
  kLogFirst = 2,
  kLogMiddle = 3,
  kLogLast = 4,
};
// What one write that was cut may have left.
constexpr size_t kMaxTornEnd = 65536;

bool EndsWith(const std::string& name, std::string_view end) {
  return name.size() > end.size() &&
         name.compare(name.size() - end.size(), end.size(), end) == 0;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.size() > 19) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// "MANIFEST-000005" -> 5.
std::optional<uint64_t> ManifestNumber(std::string_view name) {
  if (!name.starts_with(kManifestPrefix)) return std::nullopt;
  return ParseNumber(name.substr(kManifestPrefix.size()));
}

struct ManifestNote {
  uint64_t number = 0;
  uint64_t size = 0;
};

// nullopt: there is none that is whole.
std::optional<ManifestNote> ReadManifestNote(rocksdb::Env* files,
                                             const std::string& path) {
  std::string text;
  const std::string file = path + std::string(kNoteFile);
  if (!files->FileExists(file).ok() ||
      !rocksdb::ReadFileToString(files, file, &text).ok()) {
    return std::nullopt;
  }
  const size_t blank = text.find(' ');
  if (blank == std::string::npos || text.back() != '\n') return std::nullopt;
  const std::string_view view = text;
  const auto number = ManifestNumber(view.substr(0, blank));
  const auto size =
      ParseNumber(view.substr(blank + 1, view.size() - blank - 2));
  if (!number || !size) return std::nullopt;
  return ManifestNote{*number, *size};
}

// The content of CURRENT without its line end; empty when it cannot be read.
std::string CurrentManifest(rocksdb::Env* files, const std::string& path) {
  std::string text;
  if (!rocksdb::ReadFileToString(files, path + "/CURRENT", &text).ok()) {
    return {};
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

struct LogPiece {
  enum class State : uint8_t {
    kGood,
    kZeros,      // nothing more in the block
    kEndsEarly,  // the file does
    kBad,
  };
  State state = State::kBad;
  uint8_t type = 0;
  size_t end = 0;
};

uint32_t LogByte(std::string_view log, size_t at) {
  return static_cast<uint8_t>(log[at]);
}

// REQUIRES: a header fits into what is left of the block.
LogPiece ReadLogPiece(std::string_view log, size_t at) {
  using State = LogPiece::State;
  if (at + kLogHeader > log.size()) return {State::kEndsEarly, 0, 0};
  const size_t length = LogByte(log, at + 4) | LogByte(log, at + 5) << 8;
  const auto type = static_cast<uint8_t>(log[at + 6]);
  const size_t block_end = (at / kLogBlock + 1) * kLogBlock;
  if (length == 0 && type == 0) return {State::kZeros, type, block_end};
  const size_t end = at + kLogHeader + length;
  if (end > block_end) return {State::kBad, 0, 0};
  if (end > log.size()) return {State::kEndsEarly, 0, 0};
  const std::string_view checked = log.substr(at + 6, 1 + length);
  const uint32_t crc =
      udf::Crc32c(std::as_bytes(std::span(checked.data(), checked.size())));
  // RocksDB keeps CRCs masked, as they may be part of what has one.
  const uint32_t masked = (crc >> 15 | crc << 17) + 0xA282EAD8u;
  uint32_t stored = 0;
  for (size_t i = 0; i < 4; ++i) stored |= LogByte(log, at + i) << (8 * i);
  return {masked == stored ? State::kGood : State::kBad, type, end};
}

bool HasRoomForHeader(size_t at) {
  return kLogBlock - at % kLogBlock >= kLogHeader;
}

// Where the first record begins that RocksDB refuses. nullopt: there is none
// (one that ends with the file it leaves out by itself), or it is not ours to
// tell.
std::optional<size_t> FirstBadRecord(std::string_view log) {
  std::optional<size_t> begun;  // of which not all pieces were met
  for (size_t at = 0; at < log.size();) {
    if (!HasRoomForHeader(at)) {
      at = (at / kLogBlock + 1) * kLogBlock;
      continue;
    }
    const LogPiece piece = ReadLogPiece(log, at);
    switch (piece.state) {
      case LogPiece::State::kEndsEarly:
        return std::nullopt;
      case LogPiece::State::kBad:
        return begun.value_or(at);
      case LogPiece::State::kZeros:
        if (begun) return begun;
        break;
      case LogPiece::State::kGood: {
        if (piece.type < kLogWhole || piece.type > kLogLast) {
          return std::nullopt;
        }
        const bool begins = piece.type == kLogWhole || piece.type == kLogFirst;
        if (begins == begun.has_value()) return begun.value_or(at);
        if (piece.type == kLogFirst) begun = at;
        if (piece.type == kLogLast) begun.reset();
        break;
      }
    }
    at = piece.end;
  }
  return std::nullopt;
}

// Where zeros stand in the place of a record before `end`: RocksDB writes none
// there, and reads on in the next block as if nothing had been.
std::optional<size_t> FirstZeros(std::string_view log, size_t end) {
  for (size_t at = 0; at < std::min(end, log.size());) {
    if (!HasRoomForHeader(at)) {
      at = (at / kLogBlock + 1) * kLogBlock;
      continue;
    }
    const LogPiece piece = ReadLogPiece(log, at);
    if (piece.state == LogPiece::State::kZeros) return at;
    if (piece.state != LogPiece::State::kGood) break;  // the database says it
    at = piece.end;
  }
  return std::nullopt;
}

// Does any piece from `at` on hold something?
bool HoldsGoodPiece(std::string_view log, size_t at) {
  for (; at + kLogHeader < log.size(); ++at) {
    if (!HasRoomForHeader(at)) continue;
    if (ReadLogPiece(log, at).state == LogPiece::State::kGood) return true;
  }
  return false;
}

}  // namespace

Status Catalog::Impl::CutTornEnd(rocksdb::Env* files) const {
  const std::optional<ManifestNote> note = ReadManifestNote(files, path);
  const std::string name = CurrentManifest(files, path);
  if (!note || ManifestNumber(name) != note->number) return Status::Ok();
  const std::string file = path + "/" + name;
  std::string log;
  const rocksdb::Status read = rocksdb::ReadFileToString(files, file, &log);
  if (!read.ok()) return Status::Ok();  // the database says it
  const std::optional<size_t> bad = FirstBadRecord(log);
  if (!bad || *bad < note->size || log.size() - *bad > kMaxTornEnd ||
      HoldsGoodPiece(log, *bad + 1)) {
    return Status::Ok();
  }
  std::error_code error;  // RocksDB's file systems need not know how
  std::filesystem::resize_file(file, *bad, error);
  if (error) {
    return Status(Errc::kDeviceError,
                  fmt::format("catalog {}: cut the torn end of {}: {}", path,
                              name, error.message()));
  }
  spdlog::warn(
      "catalog {}: the last {} bytes of {} were being written when the power "
      "went, and are left out",
      path, log.size() - *bad, name);
  return Status::Ok();
}

Status Catalog::Impl::CheckNothingThere(rocksdb::Env* files) const {
  std::vector<std::string> names;
  const rocksdb::Status listed = files->GetChildren(path, &names);
  if (listed.IsNotFound() || listed.IsPathNotFound()) return Status::Ok();
  if (!listed.ok()) return Failed(listed, "open");
  for (const std::string& name : names) {
    const bool table = EndsWith(name, ".sst");
    if (!table && !EndsWith(name, ".log")) continue;
    uint64_t size = 0;
    const rocksdb::Status asked = files->GetFileSize(path + "/" + name, &size);
    if (!asked.ok()) return Failed(asked, "open");
    if (size == 0) continue;  // the making of the database was cut
    return Status(Errc::kCorruption,
                  fmt::format("catalog {}: open: CURRENT is missing, and {} is "
                              "there",
                              path, name));
  }
  return Status::Ok();
}

Status Catalog::Impl::CheckRecords(rocksdb::Env* files, const std::string& name,
                                   uint64_t noted) const {
  std::string log;
  const rocksdb::Status read =
      rocksdb::ReadFileToString(files, path + "/" + name, &log);
  if (!read.ok()) return Status::Ok();  // the database says it
  const std::optional<size_t> zeros = FirstZeros(log, noted);
  if (!zeros) return Status::Ok();
  return Status(Errc::kCorruption,
                fmt::format("catalog {}: open: {} has zeros at {} of {} bytes",
                            path, name, *zeros, noted));
}

Status Catalog::Impl::CheckManifest(rocksdb::Env* files) const {
  const std::optional<ManifestNote> note = ReadManifestNote(files, path);
  if (!note) return Status::Ok();
  const std::string name = CurrentManifest(files, path);
  const std::optional<uint64_t> number = ManifestNumber(name);
  if (!number || *number > note->number) return Status::Ok();
  uint64_t size = 0;
  if (*number == note->number) {
    const rocksdb::Status asked = files->GetFileSize(path + "/" + name, &size);
    if (!asked.ok()) return Status::Ok();
    if (size >= note->size) return CheckRecords(files, name, note->size);
  }
  return Status(
      Errc::kCorruption,
      *number == note->number
          ? fmt::format("catalog {}: open: {} has {} bytes and had {}", path,
                        name, size, note->size)
          : fmt::format("catalog {}: open: CURRENT names {}, and MANIFEST-{:06}"
                        " was in use",
                        path, name, note->number));
}

void Catalog::Impl::NoteManifest() const {
  rocksdb::Env* const files =
      env != nullptr ? env.get() : rocksdb::Env::Default();
  const std::string name = CurrentManifest(files, path);
  uint64_t size = 0;
  rocksdb::Status status = files->GetFileSize(path + "/" + name, &size);
  if (status.ok()) {
    status = rocksdb::WriteStringToFile(
        files, fmt::format("{} {}\n", name, size),
        path + std::string(kNoteFile), /*should_sync=*/true);
  }
  // The next start checks less.
  if (!status.ok()) {
    spdlog::warn("catalog {}: the size of {} was not noted: {}", path, name,
                 status.ToString());
  }
}

}  // namespace vellum
