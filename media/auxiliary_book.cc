// SPDX-License-Identifier: Apache-2.0
// state/auxiliary.json:
//   {"version": 1,
//    "media": {"V00001": {"loads": 3, "load_errors": 0, "bytes_read": 4096, …,
//              "first_used": 1700000000, "last_used": 1700000100}},
//    "flags": [{"object": "V00001", "flag": 5, "since": 1700000000,
//               "by_operator": false, "note": "…"}],
//    "offline_drives": [256]}
// Times are seconds since the epoch.
#include "media/auxiliary_book.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "media/counted_medium.h"
#include "media/file_util.h"

namespace vellum {

namespace {

using nlohmann::json;

constexpr int kBookVersion = 1;

struct CountKey {
  const char* name;
  uint64_t MediumUsage::*value;
};
constexpr CountKey kCountKeys[] = {
    {"loads", &MediumUsage::loads},
    {"load_errors", &MediumUsage::load_errors},
    {"bytes_read", &MediumUsage::bytes_read},
    {"bytes_written", &MediumUsage::bytes_written},
    {"read_errors", &MediumUsage::read_errors},
    {"write_errors", &MediumUsage::write_errors},
};

json EncodeUsage(const MediumUsage& usage) {
  json entry;
  for (const CountKey& key : kCountKeys) entry[key.name] = usage.*key.value;
  entry["first_used"] = usage.first_used.sec;
  entry["last_used"] = usage.last_used.sec;
  return entry;
}

}  // namespace

std::string DriveObject(ElementAddress drive) {
  return "drive " + ToString(drive);
}

std::unique_ptr<AuxiliaryBook> AuxiliaryBook::Open(const std::string& path) {
  std::unique_ptr<AuxiliaryBook> book(new AuxiliaryBook(path));
  if (path.empty()) return book;
  const Result<std::string> text = ReadWholeFile(path);
  if (!text.ok()) {
    if (text.error().code != Errc::kNotFound) {
      spdlog::warn("usage and health begin anew: {}", text.error().message);
    }
    return book;
  }
  const Status decoded = book->Decode(*text);
  if (decoded.ok()) return book;
  spdlog::warn("usage and health begin anew: {}: {}; it is kept as {}.bad",
               path, decoded.ToString(), path);
  if (std::rename(path.c_str(), (path + ".bad").c_str()) != 0) {
    spdlog::warn("{} could not be renamed", path);
  }
  return std::unique_ptr<AuxiliaryBook>(new AuxiliaryBook(path));
}

Status AuxiliaryBook::Decode(const std::string& text) {
  MutexLock lock(&mu_);
  // The getters of the parser throw on a wrong type; it ends here.
  try {
    const json root = json::parse(text);
    if (root.at("version") != kBookVersion) {
      return Status(Errc::kCorruption, "not of version 1");
    }
    for (const auto& [medium, entry] : root.at("media").items()) {
      MediumUsage& usage = usage_[medium];
      for (const CountKey& key : kCountKeys) {
        usage.*key.value = entry.at(key.name).get<uint64_t>();
      }
      usage.first_used.sec = entry.at("first_used").get<int64_t>();
      usage.last_used.sec = entry.at("last_used").get<int64_t>();
    }
    for (const json& entry : root.at("flags")) {
      SetHealthFlag flag;
      flag.object = entry.at("object").get<std::string>();
      flag.number = entry.at("flag").get<uint32_t>();
      flag.since.sec = entry.at("since").get<int64_t>();
      flag.by_operator = entry.at("by_operator").get<bool>();
      flag.note = entry.at("note").get<std::string>();
      // One that a later version knew.
      if (FindHealthFlag(std::to_string(flag.number)) == nullptr) continue;
      flags_[{flag.object, flag.number}] = flag;
    }
    for (const json& drive : root.at("offline_drives")) {
      offline_.insert(ElementAddress{drive.get<uint16_t>()});
    }
  } catch (const json::exception& e) {
    return Status(Errc::kCorruption, e.what());
  }
  return Status::Ok();
}

std::string AuxiliaryBook::EncodeLocked() const {
  json media = json::object();
  for (const auto& [medium, usage] : usage_) {
    media[medium] = EncodeUsage(usage);
  }
  json flags = json::array();
  for (const auto& [key, flag] : flags_) {
    flags.push_back({{"object", flag.object},
                     {"flag", flag.number},
                     {"since", flag.since.sec},
                     {"by_operator", flag.by_operator},
                     {"note", flag.note}});
  }
  json offline = json::array();
  for (const ElementAddress drive : offline_) offline.push_back(drive.value);
  const json root = {{"version", kBookVersion},
                     {"media", std::move(media)},
                     {"flags", std::move(flags)},
                     {"offline_drives", std::move(offline)}};
  return root.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

void AuxiliaryBook::Save() {
  if (path_.empty()) return;
  MutexLock lock(&mu_);
  save_again_ = true;
  if (saving_) return;
  saving_ = true;
  while (save_again_) {
    save_again_ = false;
    const std::string text = EncodeLocked();
    lock.Unlock();
    const Status saved = ReplaceFile(path_, text);
    if (!saved.ok()) spdlog::warn("{}", saved.ToString());
    lock.Lock();
  }
  saving_ = false;
}

LoadHooks AuxiliaryBook::Hooks() {
  LoadHooks hooks;
  hooks.loaded =
      [this](const MediumId& id, ElementAddress,
             std::unique_ptr<Medium> medium) -> std::unique_ptr<Medium> {
    NoteLoad(id);
    return std::make_unique<CountedMedium>(std::move(medium), id, this);
  };
  hooks.failed = [this](const MediumId& id, ElementAddress drive,
                        const Error& error) {
    NoteFailedLoad(id, drive, error);
  };
  return hooks;
}

std::map<MediumId, MediumUsage> AuxiliaryBook::Usage() const {
  MutexLock lock(&mu_);
  return usage_;
}

std::vector<SetHealthFlag> AuxiliaryBook::Flags() const {
  MutexLock lock(&mu_);
  std::vector<SetHealthFlag> flags;
  for (const auto& [key, flag] : flags_) flags.push_back(flag);
  return flags;
}

std::vector<std::string> AuxiliaryBook::FlagNames(
    const std::string& object) const {
  MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (auto it = flags_.lower_bound({object, 0});
       it != flags_.end() && it->first.first == object; ++it) {
    names.emplace_back(HealthFlagOf(it->first.second).name);
  }
  return names;
}

void AuxiliaryBook::SetFlag(const std::string& object, uint32_t number,
                            bool by_operator, const std::string& note) {
  {
    MutexLock lock(&mu_);
    SetHealthFlag& flag = flags_[{object, number}];
    const bool fresh = flag.number == 0;
    // A medium full of errors is not written down for each of them.
    if (!fresh && !by_operator) return;
    if (fresh) flag.since = Now();
    flag.object = object;
    flag.number = number;
    flag.by_operator = by_operator;
    flag.note = note;
  }
  Save();
}

size_t AuxiliaryBook::ClearFlags(const std::string& object,
                                 std::optional<uint32_t> number) {
  size_t cleared = 0;
  {
    MutexLock lock(&mu_);
    cleared = std::erase_if(flags_, [&](const auto& entry) {
      return entry.first.first == object &&
             (!number || entry.first.second == *number);
    });
  }
  if (cleared > 0) Save();
  return cleared;
}

std::set<ElementAddress> AuxiliaryBook::OfflineDrives() const {
  MutexLock lock(&mu_);
  return offline_;
}

void AuxiliaryBook::SetDriveOffline(ElementAddress drive, bool offline) {
  {
    MutexLock lock(&mu_);
    if (offline) {
      offline_.insert(drive);
    } else {
      offline_.erase(drive);
    }
  }
  Save();
}

void AuxiliaryBook::NoteLoad(const MediumId& medium) {
  {
    MutexLock lock(&mu_);
    MediumUsage& usage = usage_[medium];
    ++usage.loads;
    usage.last_used = Now();
    if (usage.first_used == TimeSpec()) usage.first_used = usage.last_used;
  }
  Save();
}

void AuxiliaryBook::NoteFailedLoad(const MediumId& medium, ElementAddress drive,
                                   const Error& error) {
  {
    MutexLock lock(&mu_);
    ++usage_[medium].load_errors;
  }
  switch (error.code) {
    case Errc::kOffline:
      return SetFlag(DriveObject(drive), kFlagHardware, false, error.message);
    case Errc::kIncompatible:
      return SetFlag(medium, kFlagUnsupportedFormat, false, error.message);
    case Errc::kDeviceError:
    case Errc::kNotReady:
    case Errc::kTimedOut:
      return SetFlag(medium, kFlagLoadingFailure, false, error.message);
    default:
      return Save();
  }
}

void AuxiliaryBook::NoteTransfer(const MediumId& medium, Access access,
                                 uint64_t bytes) {
  MutexLock lock(&mu_);
  MediumUsage& usage = usage_[medium];
  (access == Access::kRead ? usage.bytes_read : usage.bytes_written) += bytes;
}

void AuxiliaryBook::NoteFailure(const MediumId& medium, Access access,
                                const Error& error) {
  const bool reading = access == Access::kRead;
  {
    MutexLock lock(&mu_);
    MediumUsage& usage = usage_[medium];
    ++(reading ? usage.read_errors : usage.write_errors);
  }
  SetFlag(medium, reading ? kFlagReadFailure : kFlagWriteFailure, false,
          error.message);
}

void AuxiliaryBook::NoteUnload(const MediumId& medium) {
  {
    MutexLock lock(&mu_);
    usage_[medium].last_used = Now();
  }
  Save();
}

}  // namespace vellum
