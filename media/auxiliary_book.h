// SPDX-License-Identifier: Apache-2.0
// What is remembered of each medium beside its content: how it was used (H5),
// and the health flags of media and drives (H4). It is in
// state/auxiliary.json of the library's directory, so it outlives the catalog.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "media/error.h"
#include "media/health_flags.h"
#include "media/library.h"
#include "media/mutex.h"
#include "media/types.h"

namespace vellum {

struct MediumUsage {
  uint64_t loads = 0;
  uint64_t load_errors = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t read_errors = 0;
  uint64_t write_errors = 0;
  TimeSpec first_used;  // zero: never
  TimeSpec last_used;
  bool operator==(const MediumUsage&) const = default;
};

// A flag that is set on an object: a medium (MediumId), or a drive ("drive
// 256").
struct SetHealthFlag {
  std::string object;
  uint32_t number = 0;
  TimeSpec since;
  bool by_operator = false;
  std::string note;  // the error that set it, or what the operator said
};

std::string DriveObject(ElementAddress drive);

// Thread-safety: all methods may be called concurrently. Ownership: the hooks
// and the media that they made outlive neither this nor anything of it.
class AuxiliaryBook {
 public:
  // A file that cannot be used is put aside (path + ".bad") with a warning:
  // nobody is kept from his data because of it. `path` empty: memory only.
  static std::unique_ptr<AuxiliaryBook> Open(const std::string& path);

  // For Library::Open.
  LoadHooks Hooks();

  // Of all media that were ever loaded.
  std::map<MediumId, MediumUsage> Usage() const;
  std::vector<SetHealthFlag> Flags() const;  // by object and number
  // Names of the flags that are set on it.
  std::vector<std::string> FlagNames(const std::string& object) const;
  // Sets it, or changes its note; durable on return, but for what the file
  // system refuses, which is logged.
  void SetFlag(const std::string& object, uint32_t number, bool by_operator,
               const std::string& note);
  // Without a number: all of the object. Answers how many were set.
  size_t ClearFlags(const std::string& object, std::optional<uint32_t> number);

  // Drives that an operator took offline: they stay it over restarts.
  std::set<ElementAddress> OfflineDrives() const;
  void SetDriveOffline(ElementAddress drive, bool offline);

  // What CountedMedium tells.
  enum class Access : uint8_t { kRead, kWrite };
  void NoteTransfer(const MediumId& medium, Access access, uint64_t bytes);
  void NoteFailure(const MediumId& medium, Access access, const Error& error);
  void NoteUnload(const MediumId& medium);

 private:
  explicit AuxiliaryBook(std::string path) : path_(std::move(path)) {}
  void NoteLoad(const MediumId& medium);
  void NoteFailedLoad(const MediumId& medium, ElementAddress drive,
                      const Error& error);
  Status Decode(const std::string& text);
  std::string EncodeLocked() const REQUIRES(mu_);
  void Save();

  const std::string path_;
  mutable Mutex mu_;  // a leaf; not held while the file is written
  std::map<MediumId, MediumUsage> usage_ GUARDED_BY(mu_);
  std::map<std::pair<std::string, uint32_t>, SetHealthFlag> flags_
      GUARDED_BY(mu_);
  std::set<ElementAddress> offline_ GUARDED_BY(mu_);
  bool saving_ GUARDED_BY(mu_) = false;
  bool save_again_ GUARDED_BY(mu_) = false;
};

}  // namespace vellum
