// SPDX-License-Identifier: Apache-2.0
#include "index/catalog_salvage.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "index/catalog_rocksdb.h"
#include "index/coding.h"
#include "index/keys.h"
#include "media/file_util.h"

namespace vellum {
namespace {

namespace fs = std::filesystem;

constexpr std::array<Family, kFamilies> kSalvageFamilies = {
    Family::kMain, Family::kInodes, Family::kDirents, Family::kChanges,
    Family::kPending};
// Small: nobody looks anything up in the copy.
constexpr uint64_t kSalvageCache = 8ull << 20;
constexpr size_t kSalvageBatchBytes = 1u << 20;

// The directories of a salvage beside that of the catalog, in the order in
// which they come to be.
std::string WorkPath(const std::string& path) { return path + ".salvage"; }
std::string MakingPath(const std::string& path) { return path + ".making"; }
std::string NewPath(const std::string& path) { return path + ".new"; }
std::string KeptPath(const std::string& path) { return path + ".damaged"; }
std::string OlderPath(const std::string& path) { return path + ".damaged.old"; }

Status FileError(const std::error_code& error, const std::string& what) {
  if (!error) return Status::Ok();
  return Status(error == std::errc::no_space_on_device ? Errc::kNoSpace
                                                       : Errc::kDeviceError,
                fmt::format("catalog: {}: {}", what, error.message()));
}

Status RemoveTree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return FileError(error, "remove " + path);
}

Status Move(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  return FileError(error, fmt::format("rename {} to {}", from, to));
}

Result<bool> IsThere(const std::string& path) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  RETURN_IF_ERROR(FileError(error, "look for " + path));
  return there;
}

// A write that the disk refused says nothing of what the catalog holds.
bool IsOfTheDisk(const rocksdb::Status& status) {
  return status.IsIOError() || status.IsNoSpace();
}

std::vector<rocksdb::ColumnFamilyDescriptor> SalvageFamilies() {
  const auto table = MakeTableOptions(kSalvageCache);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const Family family : kSalvageFamilies) {
    families.emplace_back(FamilyName(family), MakeFamilyOptions(family, table));
  }
  return families;
}

rocksdb::DBOptions SalvageDbOptions(const Catalog::Options& options) {
  rocksdb::DBOptions db_options = MakeDbOptions();
  if (options.env != nullptr) db_options.env = options.env.get();
  return db_options;
}

class CatalogSalvager {
 public:
  CatalogSalvager(const std::string& path, const Catalog::Options& options)
      : path_(path),
        work_(WorkPath(path)),
        making_(MakingPath(path)),
        options_(options) {}

  Result<CatalogSalvage> Run(
      const std::function<Status(Catalog*, const CatalogSalvage&)>& prepare);

 private:
  // Tables and logs of the damaged database, in a directory of their own. They
  // are never changed in place.
  Status LinkFiles();
  // Makes a database of them, whatever MANIFEST and CURRENT say. False: there
  // is nothing that could be read.
  Result<bool> Repair();
  Status CheckVersion(rocksdb::DB* db) const;
  // Reads the records and rows.
  Status ReadRows();
  Status ReadPrefix(rocksdb::DB* db, std::string_view prefix);
  void TakeVolume(std::string_view key, std::string_view value);
  // Only one volume may have a name.
  void SettleNames();
  Status WriteRows();
  void CannotRead(const std::string& what);

  const std::string path_;
  const std::string work_;
  const std::string making_;
  const Catalog::Options options_;
  CatalogSalvage salvage_;
  std::map<VolumeIndex, VolumeRecord> volumes_;
  std::vector<std::pair<std::string, std::string>> rows_;
  VolumeIndex next_index_ = 1;
};

void CatalogSalvager::CannotRead(const std::string& what) {
  if (!salvage_.unread.empty()) salvage_.unread += "; ";
  salvage_.unread += what;
}

Status CatalogSalvager::LinkFiles() {
  std::error_code error;
  fs::create_directory(work_, error);
  RETURN_IF_ERROR(FileError(error, "make " + work_));
  fs::directory_iterator files(path_, error);
  RETURN_IF_ERROR(FileError(error, "list " + path_));
  for (const fs::directory_entry& file : files) {
    const std::string kind = file.path().extension();
    if (kind != ".sst" && kind != ".log") continue;
    const fs::path to = fs::path(work_) / file.path().filename();
    fs::create_hard_link(file.path(), to, error);
    if (!error) continue;
    // Not every file system has links.
    error.clear();
    fs::copy_file(file.path(), to, error);
    RETURN_IF_ERROR(FileError(error, "copy " + file.path().string()));
  }
  return Status::Ok();
}

Result<bool> CatalogSalvager::Repair() {
  const rocksdb::Status repaired =
      rocksdb::RepairDB(work_, SalvageDbOptions(options_), SalvageFamilies(),
                        rocksdb::ColumnFamilyOptions());
  if (repaired.ok()) return true;
  const Error error =
      TranslateRocksStatus(repaired, fmt::format("catalog {}: repair", path_));
  if (IsOfTheDisk(repaired)) return error;
  CannotRead(error.message);
  return false;
}

Status CatalogSalvager::CheckVersion(rocksdb::DB* db) const {
  std::vector<std::string> names;
  const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies(
      SalvageDbOptions(options_), work_, &names);
  if (!listed.ok()) {
    return TranslateRocksStatus(
        listed, fmt::format("catalog {}: list families", path_));
  }
  for (const std::string& name : names) {
    if (std::none_of(
            kSalvageFamilies.begin(), kSalvageFamilies.end(),
            [&](Family family) { return name == FamilyName(family); })) {
      return Status(Errc::kIncompatible,
                    fmt::format("catalog {}: made by a newer version: it has "
                                "a column family \"{}\"",
                                path_, name));
    }
  }
  std::string value;
  const rocksdb::Status read =
      db->Get({}, std::string_view(SchemaVersionKey()), &value);
  ByteReader in(value);
  const uint64_t version = read.ok() ? in.Varint() : 0;
  if (in.Complete() && version > kCatalogSchemaVersion) {
    return Status(Errc::kIncompatible,
                  fmt::format("catalog {}: schema version {} is newer than {}",
                              path_, version, kCatalogSchemaVersion));
  }
  return Status::Ok();
}

void CatalogSalvager::TakeVolume(std::string_view key, std::string_view value) {
  Result<VolumeRecord> record = DecodeVolumeRecord(value);
  if (!record.ok() || ParseVolumeKey(key) != record->index) {
    CannotRead(DescribeKey(key) + " is malformed");
    return;
  }
  record->tree = TreeState::kNone;
  record->record_crc = 0;
  record->change_floor = record->generation.number;
  next_index_ = std::max(next_index_, record->index + 1);
  volumes_[record->index] = std::move(*record);
}

Status CatalogSalvager::ReadPrefix(rocksdb::DB* db, std::string_view prefix) {
  rocksdb::ReadOptions reading;
  reading.total_order_seek = true;
  const std::string end = PrefixEnd(prefix);
  const rocksdb::Slice upper(end);
  reading.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(reading));
  const bool volumes = prefix == std::string_view(VolumesPrefix());
  for (it->Seek(prefix); it->Valid(); it->Next()) {
    if (volumes) {
      TakeVolume(it->key().ToStringView(), it->value().ToStringView());
    } else {
      rows_.emplace_back(it->key().ToString(), it->value().ToString());
    }
  }
  if (!it->status().ok()) {
    CannotRead(fmt::format("not all {}: {}", volumes ? "volumes" : "rows",
                           it->status().ToString()));
  }
  return Status::Ok();
}

Status CatalogSalvager::ReadRows() {
  rocksdb::DB* raw = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::ColumnFamilyOptions main =
      MakeFamilyOptions(Family::kMain, MakeTableOptions(kSalvageCache));
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      rocksdb::ColumnFamilyDescriptor(FamilyName(Family::kMain), main)};
  const rocksdb::Status opened = rocksdb::DB::OpenForReadOnly(
      SalvageDbOptions(options_), work_, families, &handles, &raw);
  if (!opened.ok()) {
    const Error error = TranslateRocksStatus(
        opened, fmt::format("catalog {}: open what was repaired", path_));
    if (IsOfTheDisk(opened)) return error;
    CannotRead(error.message);
    return Status::Ok();
  }
  const std::unique_ptr<rocksdb::DB> db(raw);
  Status status = CheckVersion(db.get());
  if (status.ok()) {
    std::string next;
    const rocksdb::Status read =
        db->Get({}, std::string_view(NextVolumeIndexKey()), &next);
    ByteReader in(next);
    const uint32_t index = read.ok() ? in.Varint32() : 0;
    if (read.ok() && in.Complete() && index < UINT32_MAX) {
      next_index_ = std::max(next_index_, index);
    }
    status = ReadPrefix(db.get(), AllRowsPrefix());
  }
  if (status.ok()) status = ReadPrefix(db.get(), VolumesPrefix());
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  return status;
}

void CatalogSalvager::SettleNames() {
  std::map<std::string, VolumeRecord*> by_id;
  for (auto& [index, record] : volumes_) {
    if (record.forgotten) continue;
    VolumeRecord*& holder = by_id[record.id];
    // The index is given in the order of time.
    if (holder != nullptr) holder->forgotten = true;
    holder = &record;
  }
}

Status CatalogSalvager::WriteRows() {
  // Makes the version and the families.
  RETURN_IF_ERROR(Catalog::Open(making_, options_).status());
  rocksdb::DB* raw = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::Status status = rocksdb::DB::Open(
      SalvageDbOptions(options_), making_, SalvageFamilies(), &handles, &raw);
  if (!status.ok()) {
    return TranslateRocksStatus(status,
                                fmt::format("catalog {}: open", making_));
  }
  const std::unique_ptr<rocksdb::DB> db(raw);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  rocksdb::WriteBatch batch;
  const auto put = [&](std::string_view key, std::string_view value) {
    if (!status.ok()) return;
    status = batch.Put(key, value);
    if (!status.ok() || batch.GetDataSize() < kSalvageBatchBytes) return;
    status = db->Write(synced, &batch);
    batch.Clear();
  };
  std::string next;
  PutVarint(&next, next_index_);
  put(NextVolumeIndexKey(), next);
  for (const auto& [key, value] : rows_) put(key, value);
  for (const auto& [index, record] : volumes_) {
    put(VolumeKey(index), Encode(record));
  }
  if (status.ok()) status = db->Write(synced, &batch);
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  const rocksdb::Status closed = db->Close();
  if (status.ok()) status = closed;
  if (status.ok()) return Status::Ok();
  return TranslateRocksStatus(status,
                              fmt::format("catalog {}: write", making_));
}

Result<CatalogSalvage> CatalogSalvager::Run(
    const std::function<Status(Catalog*, const CatalogSalvage&)>& prepare) {
  RETURN_IF_ERROR(LinkFiles());
  ASSIGN_OR_RETURN(const bool repaired, Repair());
  if (repaired) RETURN_IF_ERROR(ReadRows());
  SettleNames();
  RETURN_IF_ERROR(WriteRows());
  salvage_.kept = KeptPath(path_);
  salvage_.volumes = volumes_.size();
  salvage_.rows = rows_.size();
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<Catalog> made,
                     Catalog::Open(making_, options_));
    RETURN_IF_ERROR(prepare(made.get(), salvage_));
    RETURN_IF_ERROR(made->SyncLog());
  }
  RETURN_IF_ERROR(RemoveTree(work_));
  RETURN_IF_ERROR(SyncDirectory(making_));
  RETURN_IF_ERROR(Move(making_, NewPath(path_)));
  return salvage_;
}

}  // namespace

Status FinishSalvage(const std::string& path) {
  RETURN_IF_ERROR(RemoveTree(WorkPath(path)));
  RETURN_IF_ERROR(RemoveTree(MakingPath(path)));
  ASSIGN_OR_RETURN(const bool made, IsThere(NewPath(path)));
  if (!made) return Status::Ok();
  const std::string parent = fs::path(path).parent_path();
  RETURN_IF_ERROR(SyncDirectory(parent));
  ASSIGN_OR_RETURN(const bool damaged, IsThere(path));
  if (damaged) {
    ASSIGN_OR_RETURN(const bool kept, IsThere(KeptPath(path)));
    if (kept) {
      ASSIGN_OR_RETURN(const bool older, IsThere(OlderPath(path)));
      if (older) {
        spdlog::warn(
            "catalog: {}, the older of two damaged catalogs that were "
            "kept, is deleted",
            OlderPath(path));
        RETURN_IF_ERROR(RemoveTree(OlderPath(path)));
      }
      RETURN_IF_ERROR(Move(KeptPath(path), OlderPath(path)));
    }
    RETURN_IF_ERROR(Move(path, KeptPath(path)));
  }
  RETURN_IF_ERROR(Move(NewPath(path), path));
  return SyncDirectory(parent);
}

Result<CatalogSalvage> SalvageCatalog(
    const std::string& path, const Catalog::Options& options,
    const std::function<Status(Catalog*, const CatalogSalvage&)>& prepare) {
  RETURN_IF_ERROR(FinishSalvage(path));
  Result<CatalogSalvage> salvage = CatalogSalvager(path, options).Run(prepare);
  if (!salvage.ok()) {
    for (const std::string& left : {WorkPath(path), MakingPath(path)}) {
      RemoveTree(left).IgnoreError("the next start removes it");
    }
    return salvage;
  }
  RETURN_IF_ERROR(FinishSalvage(path));
  return salvage;
}

}  // namespace vellum
