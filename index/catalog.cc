// SPDX-License-Identifier: Apache-2.0
#include "index/catalog.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <utility>

#include "index/batch_ops.h"
#include "index/catalog_impl.h"
#include "index/catalog_rocksdb.h"
#include "index/coding.h"
#include "index/keys.h"
#include "media/mutex.h"
#include "media/udf/control.h"

namespace vellum {
namespace {

constexpr uint8_t kPendingVersion = 1;

constexpr std::array<Family, kFamilies> kAllFamilies = {
    Family::kMain, Family::kInodes, Family::kDirents, Family::kChanges,
    Family::kPending};

std::string EncodePendingHead(const PendingBatch& pending) {
  std::string head;
  PutByte(&head, kPendingVersion);
  PutVarint(&head, pending.generation.lineage);
  PutVarint(&head, pending.generation.number);
  PutVarint(&head, pending.record_crc);
  return head;
}

Result<PendingBatch> DecodePending(std::string_view data) {
  ByteReader in(data);
  const uint8_t version = in.Byte();
  PendingBatch pending;
  pending.generation.lineage = in.Varint();
  pending.generation.number = in.Varint();
  pending.record_crc = in.Varint32();
  if (!in.ok() || version != kPendingVersion) {
    return Error{Errc::kCorruption, "header is malformed"};
  }
  pending.batch = in.Raw(in.left());
  return pending;
}

}  // namespace

void CatalogWatch::OnBackgroundError(rocksdb::BackgroundErrorReason,
                                     rocksdb::Status* error) {
  Fail(TranslateRocksStatus(*error, "work in the background"));
}

void CatalogWatch::OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason,
                                        rocksdb::Status, bool* auto_recovery) {
  *auto_recovery = false;
}

void CatalogWatch::Fail(const Error& error) {
  MutexLock lock(&mu_);
  if (failure_.ok()) failure_ = error;
}

Status CatalogWatch::failure() const {
  MutexLock lock(&mu_);
  return failure_;
}

CatalogSnapshot::CatalogSnapshot(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
CatalogSnapshot::~CatalogSnapshot() = default;

Catalog::Impl::~Impl() {
  if (db == nullptr) return;
  // A clean end loses nothing.
  SyncLog().IgnoreError("the write that failed said so");
  for (rocksdb::ColumnFamilyHandle* handle : handles) {
    if (handle != nullptr) {
      db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
    }
  }
  const bool closed = db->Close().ok();
  if (closed && watch->failure().ok()) NoteManifest();
}

Status Catalog::Impl::CheckFamilies(const rocksdb::DBOptions& options) {
  const rocksdb::Status exists = options.env->FileExists(path + "/CURRENT");
  if (exists.IsNotFound()) return CheckNothingThere(options.env);
  if (!exists.ok()) return Failed(exists, "open");
  RETURN_IF_ERROR(CheckManifest(options.env));
  RETURN_IF_ERROR(CutTornEnd(options.env));
  std::vector<std::string> names;
  const rocksdb::Status listed =
      rocksdb::DB::ListColumnFamilies(options, path, &names);
  if (!listed.ok()) {
    Error error = Failed(listed, "open");
    // CURRENT names a MANIFEST that is not there.
    if (listed.IsPathNotFound()) error.code = Errc::kCorruption;
    return error;
  }
  for (const std::string& name : names) {
    const bool known =
        std::any_of(kAllFamilies.begin(), kAllFamilies.end(),
                    [&](Family family) { return name == FamilyName(family); });
    if (!known) {
      return Status(Errc::kIncompatible,
                    fmt::format("catalog {}: made by a newer version: it has "
                                "a column family \"{}\"",
                                path, name));
    }
  }
  return Status::Ok();
}

uint64_t Catalog::Impl::FreeBytes(const std::string& directory) const {
  rocksdb::Env* const e = env != nullptr ? env.get() : rocksdb::Env::Default();
  uint64_t free = 0;
  // In memory, or a file system that does not tell: the write will.
  return e->GetFreeSpace(directory, &free).ok() ? free : UINT64_MAX;
}

Status Catalog::Impl::CheckRoom(const std::string& directory,
                                uint64_t bytes) const {
  const uint64_t free = FreeBytes(directory);
  const uint64_t need = disk_reserve + bytes;
  if (free >= need) return Status::Ok();
  return Status(Errc::kNoSpace,
                fmt::format("no space in {}: {} bytes are free on its file "
                            "system, the catalog needs {}",
                            directory, free, need));
}

Status Catalog::Impl::CheckAlive() const {
  const Status failure = watch->failure();
  if (failure.ok()) return Status::Ok();
  // Who only restarts it meets the error of a disk again.
  const char* const disk =
      failure.Is(Errc::kDeviceError)
          ? "its disk is in order again (see the system's log) and "
          : "";
  return Status(failure.code(),
                fmt::format("catalog {}: takes no changes until {}the daemon "
                            "is restarted: {}",
                            path, disk, failure.error().message));
}

Status Catalog::Impl::CheckWrite(uint64_t bytes) const {
  RETURN_IF_ERROR(CheckAlive());
  return CheckRoom(path, bytes);
}

Status Catalog::Impl::Open(const Options& options) {
  rocksdb::DBOptions db_options = MakeDbOptions();
  db_options.listeners.push_back(watch);
  env = options.env;
  disk_reserve = options.disk_reserve;
  if (env == nullptr && options.in_memory) {
    path = "/catalog-in-memory";  // that environment knows absolute paths only
    env.reset(rocksdb::NewMemEnv(rocksdb::Env::Default()));
  }
  if (env != nullptr) db_options.env = env.get();
  // The directory may not be there yet.
  const bool made = db_options.env->FileExists(path).ok();
  const size_t slash = path.rfind('/');
  RETURN_IF_ERROR(CheckRoom(
      made || slash == std::string::npos ? path : path.substr(0, slash + 1),
      0));
  RETURN_IF_ERROR(CheckFamilies(db_options));

  const auto table = MakeTableOptions(options.cache_bytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const Family family : kAllFamilies) {
    families.emplace_back(FamilyName(family), MakeFamilyOptions(family, table));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> opened;
  rocksdb::DB* raw = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(db_options, path, families, &opened, &raw);
  if (!status.ok()) {
    Error error = Failed(status, "open");
    // RocksDB has no code of its own for a lock that is taken.
    if (status.IsIOError() && error.message.find("lock") != std::string::npos &&
        error.message.find("/LOCK") != std::string::npos) {
      error.code = Errc::kBusy;
    }
    return error;
  }
  db.reset(raw);
  std::copy(opened.begin(), opened.end(), handles.begin());
  RETURN_IF_ERROR(CheckSchema());
  NoteManifest();
  return Status::Ok();
}

Result<bool> Catalog::Impl::Empty() const {
  for (const Family family : kAllFamilies) {
    rocksdb::ReadOptions options = Reading(nullptr);
    options.total_order_seek = true;
    const std::unique_ptr<rocksdb::Iterator> it(
        db->NewIterator(options, Handle(family)));
    it->SeekToFirst();
    if (it->Valid()) return false;
    if (!it->status().ok()) return Failed(it->status(), "read");
  }
  return true;
}

Status Catalog::Impl::CheckSchema() {
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   Get(Family::kMain, SchemaVersionKey(), nullptr, &value));
  if (!found) {
    ASSIGN_OR_RETURN(const bool empty, Empty());
    if (!empty) {
      return Status(Errc::kIncompatible,
                    fmt::format("catalog {}: is a database of something else: "
                                "it has no schema version",
                                path));
    }
    std::string version;
    PutVarint(&version, kCatalogSchemaVersion);
    rocksdb::WriteBatch batch;
    batch.Put(Handle(Family::kMain), std::string_view(SchemaVersionKey()),
              version);
    return Write(&batch, Sync::kYes, "write schema version");
  }
  ByteReader in(value.ToStringView());
  const uint64_t version = in.Varint();
  if (!in.Complete() || version == 0) {
    return Status(Errc::kCorruption,
                  fmt::format("catalog {}: schema version is malformed", path));
  }
  if (version > kCatalogSchemaVersion) {
    return Status(Errc::kIncompatible,
                  fmt::format("catalog {}: has schema version {}, this program "
                              "knows up to {}",
                              path, version, kCatalogSchemaVersion));
  }
  return Status::Ok();
}

Result<bool> Catalog::Impl::Get(Family family, std::string_view key,
                                const CatalogSnapshot* snapshot,
                                rocksdb::PinnableSlice* value) const {
  const rocksdb::Status status =
      db->Get(Reading(snapshot), Handle(family), key, value);
  if (status.ok()) return true;
  if (status.IsNotFound()) return false;
  return Failed(status, "read " + DescribeKey(key));
}

Status Catalog::Impl::Append(std::string_view ops,
                             rocksdb::WriteBatch* out) const {
  BatchReader reader(ops);
  BatchOp op;
  while (reader.Next(&op)) {
    rocksdb::ColumnFamilyHandle* const handle = Handle(op.family);
    rocksdb::Status status;
    switch (op.kind) {
      case OpKind::kPut:
        status = out->Put(handle, op.key, op.value);
        break;
      case OpKind::kDelete:
        status = out->Delete(handle, op.key);
        break;
    }
    if (!status.ok()) return Failed(status, "change " + DescribeKey(op.key));
  }
  return reader.status();
}

Status Catalog::Impl::Write(rocksdb::WriteBatch* batch, Sync sync,
                            const char* what) {
  RETURN_IF_ERROR(CheckWrite(batch->GetDataSize()).WithContext(what));
  rocksdb::WriteOptions options;
  options.sync = sync == Sync::kYes;
  const rocksdb::Status status = db->Write(options, batch);
  if (status.ok()) return Status::Ok();
  // The log has failed: it must not be called again.
  const Error error = Failed(status, what);
  watch->Fail(error);
  return error;
}

Status Catalog::Impl::SyncLog() {
  // A record that changes nothing, written with sync, takes all logs with it.
  // RocksDB's own SyncWAL asks more of the file system than some have.
  rocksdb::WriteBatch marker;
  const rocksdb::Status put = marker.PutLogData("sync");
  if (!put.ok()) return Failed(put, "sync log");
  return Write(&marker, Sync::kYes, "sync log");
}

Result<std::unique_ptr<Catalog>> Catalog::Open(const std::string& path,
                                               const Options& options) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  RETURN_IF_ERROR(impl->Open(options));
  return std::unique_ptr<Catalog>(new Catalog(std::move(impl)));
}

Catalog::Catalog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Catalog::~Catalog() = default;

Status Catalog::CheckWrite(uint64_t bytes) const {
  return impl_->CheckWrite(bytes);
}

Result<uint64_t> Catalog::Room() const {
  RETURN_IF_ERROR(impl_->CheckAlive());
  const uint64_t free = impl_->FreeBytes(impl_->path);
  if (free == UINT64_MAX) return free;
  return free - std::min(free, impl_->disk_reserve);
}

Status Catalog::Write(const CatalogBatch& batch, Sync sync) {
  const std::string& ops = batch.impl_->ops;
  if (ops.empty()) return sync == Sync::kYes ? SyncLog() : Status::Ok();
  rocksdb::WriteBatch out(ops.size() + ops.size() / 8);
  RETURN_IF_ERROR(impl_->Append(ops, &out));
  return impl_->Write(&out, sync, "write");
}

Status Catalog::SyncLog() { return impl_->SyncLog(); }

Result<std::string> Catalog::Identity() {
  const MutexLock lock(&impl_->index_mu);
  const std::string key = RowKey("catalog", "identity");
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   impl_->Get(Family::kMain, key, nullptr, &value));
  if (found) return value.ToString();
  const std::string identity = udf::NewUuid();
  rocksdb::WriteBatch batch;
  const rocksdb::Status put =
      batch.Put(impl_->Handle(Family::kMain), key, identity);
  if (!put.ok()) return impl_->Failed(put, "change " + DescribeKey(key));
  RETURN_IF_ERROR(impl_->Write(&batch, Sync::kNo, "name the catalog"));
  return identity;
}

Result<std::vector<VolumeRecord>> Catalog::Volumes() const {
  std::vector<VolumeRecord> volumes;
  RETURN_IF_ERROR(impl_->ScanPrefix(
      Family::kMain, VolumesPrefix(), nullptr, /*fill_cache=*/true,
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        auto record = DecodeVolumeRecord(value);
        if (!record) return AtKey(record.status(), key);
        if (ParseVolumeKey(key) != record->index) {
          return AtKey(Status(Errc::kCorruption, "has another index inside"),
                       key);
        }
        volumes.push_back(std::move(*record));
        return true;
      }));
  return volumes;
}

Result<VolumeRecord> Catalog::GetVolume(VolumeIndex index) const {
  const Key key = VolumeKey(index);
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   impl_->Get(Family::kMain, key, nullptr, &value));
  if (!found) {
    return Error{Errc::kNotFound, DescribeKey(key) + " is not in the catalog"};
  }
  auto record = DecodeVolumeRecord(value.ToStringView());
  if (!record) return AtKey(record.status(), key);
  return record;
}

Result<VolumeIndex> Catalog::NewVolumeIndex() {
  const MutexLock lock(&impl_->index_mu);
  const Key key = NextVolumeIndexKey();
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   impl_->Get(Family::kMain, key, nullptr, &value));
  VolumeIndex next = 1;
  if (found) {
    ByteReader in(value.ToStringView());
    next = in.Varint32();
    if (!in.Complete() || next == 0 || next == UINT32_MAX) {
      return AtKey(Status(Errc::kCorruption, "is malformed"), key);
    }
  }
  std::string after;
  PutVarint(&after, uint64_t{next} + 1);
  rocksdb::WriteBatch batch;
  batch.Put(impl_->Handle(Family::kMain), std::string_view(key), after);
  RETURN_IF_ERROR(impl_->Write(&batch, Sync::kYes, "take a volume index"));
  return next;
}

Status Catalog::PutPending(VolumeIndex volume, const PendingBatch& pending) {
  // In parts: the batch may have tens of MiB, one copy fewer.
  const std::string head = EncodePendingHead(pending);
  const Key key = PendingKey(volume);
  const rocksdb::Slice key_slice{std::string_view(key)};
  const std::array<rocksdb::Slice, 2> value = {head, pending.batch};
  rocksdb::WriteBatch batch;
  const rocksdb::Status put = batch.Put(
      impl_->Handle(Family::kPending), rocksdb::SliceParts(&key_slice, 1),
      rocksdb::SliceParts(value.data(), static_cast<int>(value.size())));
  if (!put.ok()) return impl_->Failed(put, "write " + DescribeKey(key));
  return impl_->Write(&batch, Sync::kYes, "write a pending batch");
}

Result<std::optional<PendingBatch>> Catalog::GetPending(
    VolumeIndex volume) const {
  const Key key = PendingKey(volume);
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   impl_->Get(Family::kPending, key, nullptr, &value));
  if (!found) return std::optional<PendingBatch>();
  auto pending = DecodePending(value.ToStringView());
  if (!pending) return AtKey(pending.status(), key);
  return std::optional<PendingBatch>(std::move(*pending));
}

Status Catalog::ApplyPending(VolumeIndex volume, const CatalogBatch* batch) {
  std::optional<CatalogBatch> stored;
  if (batch == nullptr) {
    ASSIGN_OR_RETURN(const std::optional<PendingBatch> pending,
                     GetPending(volume));
    if (!pending) {
      return Status(Errc::kNotFound,
                    DescribeKey(PendingKey(volume)) + " is not in the catalog");
    }
    auto parsed = CatalogBatch::Parse(pending->batch);
    if (!parsed) return AtKey(parsed.status(), PendingKey(volume));
    stored = std::move(*parsed);
    batch = &*stored;
  }
  const std::string& ops = batch->impl_->ops;
  rocksdb::WriteBatch out(ops.size() + ops.size() / 8);
  RETURN_IF_ERROR(impl_->Append(ops, &out));
  const Key key = PendingKey(volume);
  const rocksdb::Status deleted =
      out.Delete(impl_->Handle(Family::kPending), std::string_view(key));
  if (!deleted.ok()) return impl_->Failed(deleted, "apply " + DescribeKey(key));
  return impl_->Write(&out, Sync::kNo, "apply a pending batch");
}

Result<std::string> Catalog::GetRow(std::string_view table,
                                    std::string_view key) const {
  const std::string row = RowKey(table, key);
  rocksdb::PinnableSlice value;
  ASSIGN_OR_RETURN(const bool found,
                   impl_->Get(Family::kMain, row, nullptr, &value));
  if (!found) {
    return Error{Errc::kNotFound, DescribeKey(row) + " is not in the catalog"};
  }
  return value.ToString();
}

Status Catalog::ForEachRow(
    std::string_view table,
    const std::function<bool(std::string_view key, std::string_view value)>&
        visit) const {
  const std::string prefix = RowsPrefix(table);
  return impl_->ScanPrefix(
      Family::kMain, prefix, nullptr, /*fill_cache=*/true,
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        return visit(key.substr(prefix.size()), value);
      });
}

std::shared_ptr<CatalogSnapshot> Catalog::Snapshot() const {
  rocksdb::DB* const db = impl_->db.get();
  return std::shared_ptr<CatalogSnapshot>(new CatalogSnapshot(
      std::make_unique<CatalogSnapshot::Impl>(db, db->GetSnapshot())));
}

}  // namespace vellum
