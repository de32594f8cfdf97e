// SPDX-License-Identifier: Apache-2.0
// A library in memory with a catalog on disk, Volumes and Jobs over it; all of
// it can be closed and opened again, as after a restart of the daemon.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "copy/backup_medium.h"
#include "copy/damage_notes.h"
#include "copy/history.h"
#include "copy/jobs.h"
#include "copy/medium_notes.h"
#include "copy/operations.h"
#include "copy/sector_map.h"
#include "index/catalog.h"
#include "index/snapshot.h"
#include "index/volumes.h"
#include "media/library.h"
#include "media/udf/allocator.h"
#include "media/udf/fsck.h"
#include "media/udf/reader.h"
#include "tests/support/fake_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {

class JobsTest : public testing::Test {
 protected:
  ~JobsTest() override { Close(); }

  void Start(uint16_t drives, uint16_t media) {
    FakeLibraryOptions options;
    options.drives = drives;
    options.media = media;
    options.sectors = 8192;  // 16 MiB
    fake_ = std::make_unique<FakeLibrary>(options);
    job_options_.spool_directory = dir_.Sub("spool");
    Open();
  }

  void Open() {
    ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Open(dir_.Sub("catalog"), {}));
    ASSERT_OK_AND_ASSIGN(
        library_, Library::Open(fake_->MakeChanger(), fake_->MakeDrives(),
                                library_options_));
    VolumesOptions volumes;
    volumes.checkpoint_interval_ms = 0;
    volumes.min_residency_ms = 5;
    volumes.exclude_wait_ms = 200;
    ASSERT_OK_AND_ASSIGN(
        volumes_, Volumes::Open(catalog_.get(), library_.get(), volumes));
    ASSERT_OK_AND_ASSIGN(jobs_, Jobs::Open(catalog_.get(), library_.get(),
                                           volumes_.get(), job_options_));
  }
  void Close() {
    jobs_.reset();
    volumes_.reset();
    library_.reset();
    catalog_.reset();
  }
  void Reopen() {
    Close();
    Open();
  }

  Archive archive() { return {catalog_.get(), library_.get(), volumes_.get()}; }

  // V00001 …
  static std::string Tag(int n) { return "V0000" + std::to_string(n); }
  MemoryMedium& Content(int n) { return *fake_->Content(Tag(n)); }

  void MakePrimary(int medium, const std::string& id) {
    MakePrimary(Tag(medium), id);
  }
  void MakePrimary(const MediumId& medium, const std::string& id) {
    FormatRequest request;
    request.medium = medium;
    request.volume_id = id;
    ASSERT_OK(Format(archive(), request));
  }

  static std::string Bytes0(uint64_t seed, size_t size) {
    std::mt19937_64 rng(seed);
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(rng());
    return text;
  }

  // Makes or replaces a file in the root.
  Status Write(const std::string& volume, const std::string& name,
               const std::string& content) {
    ASSIGN_OR_RETURN(VolumeUse use, volumes_->Use(volumes_->Find(volume)));
    Result<Attr> attr = use->Lookup(use->root(), name);
    if (!attr.ok()) attr = use->Create(use->root(), name, NewInode());
    if (!attr.ok()) return attr.status();
    AttrChange cut;
    cut.size = 0;
    RETURN_IF_ERROR(use->SetAttr(attr->ino, cut).status());
    return use
        ->Write(attr->ino, 0,
                std::as_bytes(std::span(content.data(), content.size())))
        .status();
  }
  Status Remove(const std::string& volume, const std::string& name) {
    ASSIGN_OR_RETURN(VolumeUse use, volumes_->Use(volumes_->Find(volume)));
    return use->Unlink(use->root(), name);
  }
  // About 3 MiB in 12 files; `seed` decides the content.
  void Fill(const std::string& volume, uint64_t seed) {
    for (uint64_t i = 0; i < 12; ++i) {
      ASSERT_OK(Write(volume, "file" + std::to_string(i),
                      Bytes0(seed * 100 + i, 1000 + i * 45'000)));
    }
  }

  CopyRequest Request(const std::string& source,
                      CopyMode mode = CopyMode::kImage) {
    CopyRequest request;
    request.source = source;
    request.mode = mode;
    return request;
  }
  Result<JobRecord> Run(const CopyRequest& request) {
    ASSIGN_OR_RETURN(const JobId id, jobs_->Submit(request));
    return jobs_->Wait(id);
  }
  // Asks for the job until `enough` says so. A job that never gets there is the
  // failure.
  JobRecord Await(JobId id,
                  const std::function<bool(const JobRecord&)>& enough) {
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(30);
    for (;;) {
      const Result<JobRecord> job = jobs_->Get(id);
      EXPECT_OK(job);
      if (!job.ok() || enough(*job)) return job.ok() ? *job : JobRecord();
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "job " << id << " never got there\n" << Story(*job);
        return *job;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  // Until it says what it waits for, or has ended.
  JobRecord AwaitWaiting(JobId id) {
    return Await(id, [](const JobRecord& job) {
      return job.message.rfind("waits for ", 0) == 0 || JobEnded(job.state);
    });
  }
  // Runs the copy to its good end.
  JobRecord Copy(const CopyRequest& request) {
    const Result<JobRecord> job = Run(request);
    EXPECT_OK(job);
    if (!job.ok()) return {};
    EXPECT_EQ(job->state, JobState::kDone) << Story(*job);
    return *job;
  }
  static std::string Story(const JobRecord& job) {
    std::string text = ErrcName(job.error) + (": " + job.message) + "\n";
    for (const std::string& line : job.log) text += line + "\n";
    return text;
  }
  static bool Says(const JobRecord& job, const std::string& text) {
    return Story(job).find(text) != std::string::npos;
  }

  // The medium holds a clean, complete backup of the owner, and the catalog
  // says the same.
  void ExpectBackup(int medium, const std::string& owner,
                    const JobRecord& job) {
    MemoryMedium& content = Content(medium);
    ASSERT_OK_AND_ASSIGN(const udf::ControlSlot slot,
                         udf::ReadControlSlot(content));
    EXPECT_EQ(slot.role, udf::Role::kBackup);
    EXPECT_EQ(slot.state, udf::SlotState::kComplete);
    EXPECT_EQ(slot.owner_id, owner);
    EXPECT_EQ(slot.generation, job.generation);
    ASSERT_OK_AND_ASSIGN(const udf::FsckReport report,
                         udf::CheckVolume(content, {}));
    EXPECT_TRUE(report.clean()) << report.errors[0].text;
    const auto volume = volumes_->FindByMedium(Tag(medium));
    ASSERT_NE(volume, nullptr);
    const VolumeRecord record = volume->record();
    EXPECT_EQ(record.id, slot.volume_id);
    EXPECT_EQ(record.role, udf::Role::kBackup);
    EXPECT_EQ(record.state, udf::SlotState::kComplete);
    EXPECT_EQ(record.owner_id, owner);
    EXPECT_EQ(record.generation, slot.generation);
    EXPECT_EQ(record.tree, TreeState::kValid);
    EXPECT_EQ(record.files, report.files);
    EXPECT_EQ(job.target_volume, slot.volume_id);
    EXPECT_EQ(job.target_medium, Tag(medium));
    EXPECT_EQ(CatalogNames(*volume), MediumNames(content));
  }
  // Every sector that the backup's generation uses is the same on the primary.
  // REQUIRES: the primary did not change since, and is not loaded.
  std::string Difference(int primary, int backup) {
    MemoryMedium& a = Content(primary);
    MemoryMedium& b = Content(backup);
    const auto description = udf::ReadDescription(b);
    EXPECT_OK(description);
    auto bitmap = udf::ReadBitmap(b, description->geometry);
    EXPECT_OK(bitmap);
    const SectorMap map(description->geometry, std::move(*bitmap));
    udf::Sector x, y;
    for (uint64_t s = 0; s < description->geometry.sectors; ++s) {
      if (!map.Uses(s) || s == udf::kLvidSector) continue;
      EXPECT_OK(a.Read(s, x));
      EXPECT_OK(b.Read(s, y));
      if (x != y) return "sector " + std::to_string(s);
    }
    return {};
  }
  std::set<std::string> CatalogNames(const Volume& volume) {
    std::set<std::string> names;
    EXPECT_OK(volume.ReadDir(volume.root(), 0, [&names](const DirItem& item) {
      names.insert(item.name);
      return true;
    }));
    return names;
  }
  static std::set<std::string> MediumNames(MemoryMedium& medium) {
    std::set<std::string> names;
    const auto reader = udf::Reader::Open(&medium);
    EXPECT_OK(reader);
    if (!reader.ok()) return names;
    const auto root = (*reader)->ReadEntry((*reader)->root_block());
    EXPECT_OK(root);
    const auto entries = (*reader)->ReadDirectory(*root);
    EXPECT_OK(entries);
    for (const udf::DirEntry& entry : *entries) names.insert(entry.fid.name);
    return names;
  }
  std::string ReadFromMedium(int medium, const std::string& name) {
    const auto reader = udf::Reader::Open(&Content(medium));
    EXPECT_OK(reader);
    const auto root = (*reader)->ReadEntry((*reader)->root_block());
    EXPECT_OK(root);
    const auto entries = (*reader)->ReadDirectory(*root);
    EXPECT_OK(entries);
    for (const udf::DirEntry& entry : *entries) {
      if (entry.fid.name != name) continue;
      const auto file = (*reader)->ReadEntry(entry.fid.icb_block);
      EXPECT_OK(file);
      std::string content(file->attr.size, '\0');
      EXPECT_OK((*reader)->ReadFile(
          *file, 0, std::as_writable_bytes(std::span(content))));
      return content;
    }
    return "no file " + name;
  }

  // Reads from a file in the root; waits for the medium, as a command would.
  std::string ReadFile(const std::string& volume, const std::string& name) {
    const Result<VolumeUse> use = volumes_->Use(volumes_->Find(volume));
    EXPECT_OK(use);
    if (!use.ok()) return {};
    const Result<Attr> attr = (*use)->Lookup((*use)->root(), name);
    EXPECT_OK(attr);
    if (!attr.ok()) return {};
    std::string content(attr->attr.size, '\0');
    EXPECT_OK(
        (*use)->Read(attr->ino, 0, std::as_writable_bytes(std::span(content))));
    return content;
  }

  // Media are in the slots that they started in.
  void ExpectAllHome() {
    for (const MediumPlace& place : library_->Media()) {
      EXPECT_FALSE(place.loaded) << place.id;
      EXPECT_EQ(fake_->WhereIs(place.id), place.home);
    }
  }
  void ExpectSpoolEmpty() {
    EXPECT_TRUE(std::filesystem::is_empty(dir_.Sub("spool")));
  }
  // Detaches every volume and sends its medium, if it is there, home.
  void SendAllHome() {
    for (const auto& volume : volumes_->List()) {
      if (!library_->FindMedium(volume->record().medium).ok()) continue;
      const auto exclusion = volumes_->Exclude(volume);
      ASSERT_OK(exclusion);
      ASSERT_OK(library_->SendHome(volume->record().medium));
    }
  }

  TempDir dir_;
  JobsOptions job_options_;
  LibraryOptions library_options_;
  std::unique_ptr<FakeLibrary> fake_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<Volumes> volumes_;
  std::unique_ptr<Jobs> jobs_;
};

}  // namespace vellum
