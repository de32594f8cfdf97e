// SPDX-License-Identifier: Apache-2.0
// What is checked of the database's files before RocksDB makes the best of
// them.
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/catalog_impl.h"

namespace vellum {
namespace {

// Holds "MANIFEST-000005 1234\n".
constexpr std::string_view kNoteFile = "/VELLUM-MANIFEST";
constexpr std::string_view kManifestPrefix = "MANIFEST-";

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

}  // namespace

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

Status Catalog::Impl::CheckManifest(rocksdb::Env* files) const {
  const std::optional<ManifestNote> note = ReadManifestNote(files, path);
  if (!note) return Status::Ok();
  const std::string name = CurrentManifest(files, path);
  const std::optional<uint64_t> number = ManifestNumber(name);
  if (!number || *number > note->number) return Status::Ok();
  uint64_t size = 0;
  if (*number == note->number) {
    const rocksdb::Status asked = files->GetFileSize(path + "/" + name, &size);
    if (!asked.ok() || size >= note->size) return Status::Ok();
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
        path + std::string(kNoteFile), /*should_sync=*/false);
  }
  // The next start checks less.
  if (!status.ok()) {
    spdlog::warn("catalog {}: the size of {} was not noted: {}", path, name,
                 status.ToString());
  }
}

}  // namespace vellum
