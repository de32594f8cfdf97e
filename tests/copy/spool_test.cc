// SPDX-License-Identifier: Apache-2.0
#include "copy/spool.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "copy/spool_image.h"
#include "tests/copy/engine_fixture.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

TEST(SpoolTest, O2_ReservationsShareTheLimit) {
  TempDir dir;
  Spool spool(dir.Sub("spool"), 10 << 20);
  ASSERT_OK(spool.Reserve(1, 6 << 20));
  EXPECT_EQ(std::filesystem::file_size(spool.ImagePath(1)), 6u << 20);
  const Status refused = spool.Reserve(2, 5 << 20);
  EXPECT_THAT(refused, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(refused, MessageHas("needed 5242880"));
  EXPECT_THAT(refused, MessageHas("free 4194304"));
  EXPECT_FALSE(std::filesystem::exists(spool.ImagePath(2)));
  ASSERT_OK(spool.Reserve(2, 4 << 20));
  EXPECT_OK(spool.Reserve(1, 3 << 20));  // has more already
  EXPECT_THAT(spool.Reserve(1, 7 << 20), HasErrc(Errc::kNoSpace));
  ASSERT_OK_AND_ASSIGN(uint64_t free, spool.Free());
  EXPECT_EQ(free, 0u);
  spool.Release(2);
  EXPECT_FALSE(std::filesystem::exists(spool.ImagePath(2)));
  ASSERT_OK(spool.Reserve(1, 7 << 20));
  ASSERT_OK_AND_ASSIGN(free, spool.Free());
  EXPECT_EQ(free, 3u << 20);
}

TEST(SpoolTest, O2_MoreThanTheDiskHasIsRefused) {
  TempDir dir;
  Spool spool(dir.Sub("spool"), 0);
  ASSERT_OK_AND_ASSIGN(const uint64_t free, spool.Free());
  EXPECT_THAT(spool.Reserve(1, free + (1ull << 40)), HasErrc(Errc::kNoSpace));
}

class SpoolImageTest : public EngineTest {
 protected:
  // Stages the source, but for Finish.
  std::unique_ptr<SpoolImage> Stage(const CopySource& source) {
    auto image = SpoolImage::Create(&spool_, 5, source);
    EXPECT_OK(image);
    EXPECT_OK(PumpRegions(
        source.regions, source.map->geometry().sectors, {},
        [&source](RegionChunk* chunk) { return source.Fill(chunk); },
        [&image](RegionChunk& chunk) { return (*image)->Append(chunk); }));
    return std::move(*image);
  }
  TempDir dir_;
  Spool spool_{dir_.Sub("spool"), 0};
};

TEST_F(SpoolImageTest, HoldsTheGenerationOverARestart) {
  Make(8192, 31);
  Change(120);
  const Pinned pinned = Pin();
  {
    auto image = Stage(pinned.source);
    EXPECT_THAT(SpoolImage::Open(spool_, 5), HasErrc(Errc::kNotFound));
    ASSERT_OK(image->Finish());
  }
  EXPECT_LE(std::filesystem::file_size(spool_.ImagePath(5)),
            SpoolImage::BytesNeeded(pinned.source));
  ASSERT_OK_AND_ASSIGN(const auto image, SpoolImage::Open(spool_, 5));
  const CopySource source = image->Source();
  EXPECT_EQ(source.identity.generation, pinned.generation());
  EXPECT_EQ(source.identity.volume_id, "PRIMARY");
  MemoryMedium target(8192);
  ASSERT_OK(RunFull(&target, source));
  ExpectBackup(&target, pinned);
}

TEST_F(SpoolImageTest, DamageIsFoundBeforeItIsCopied) {
  Make(8192, 32);
  Change(80);
  const Pinned pinned = Pin();
  auto image = Stage(pinned.source);
  ASSERT_OK(image->Finish());
  {
    std::FILE* file = std::fopen(spool_.ImagePath(5).c_str(), "r+");
    ASSERT_NE(file, nullptr);
    std::fseek(file, 100 * kSectorSize, SEEK_SET);
    std::fputs("damage", file);
    std::fclose(file);
  }
  const CopySource source = image->Source();
  MemoryMedium target(8192);
  const Status status = RunFull(&target, source);
  EXPECT_THAT(status, HasErrc(Errc::kCorruption));
  EXPECT_THAT(status, MessageHas("spool"));
}

// The image is not synced.
TEST_F(SpoolImageTest, WhatAPowerCutHasTakenIsFound) {
  Make(8192, 34);
  Change(80);
  const Pinned pinned = Pin();
  ASSERT_OK(Stage(pinned.source)->Finish());
  ASSERT_OK_AND_ASSIGN(const auto image, SpoolImage::Open(spool_, 5));
  CopyCounters counters;
  EXPECT_OK(image->Check({}, &counters));
  EXPECT_GT(counters.regions_total, 0u);
  EXPECT_EQ(counters.regions_done, counters.regions_total);
  {
    std::FILE* file = std::fopen(spool_.ImagePath(5).c_str(), "r+");
    ASSERT_NE(file, nullptr);
    std::fseek(file, 50 * kSectorSize, SEEK_SET);
    const std::string other(64 * kSectorSize, 'x');
    std::fwrite(other.data(), 1, other.size(), file);
    std::fclose(file);
  }
  EXPECT_THAT(image->Check({}, &counters), HasErrc(Errc::kCorruption));
  std::stop_source cancelled;
  cancelled.request_stop();
  EXPECT_THAT(image->Check(cancelled.get_token(), &counters),
              HasErrc(Errc::kAborted));
}

TEST_F(SpoolImageTest, DamagedMetaFileIsNoImage) {
  Make(8192, 33);
  const Pinned pinned = Pin();
  ASSERT_OK(Stage(pinned.source)->Finish());
  std::string meta = ReadFileOrDie(spool_.MetaPath(5));
  for (const size_t at : {size_t{0}, size_t{30}, meta.size() / 2}) {
    std::string bad = meta;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    WriteFileOrDie(spool_.MetaPath(5), bad);
    EXPECT_THAT(SpoolImage::Open(spool_, 5), HasErrc(Errc::kCorruption)) << at;
  }
  WriteFileOrDie(spool_.MetaPath(5), meta.substr(0, 7));
  EXPECT_THAT(SpoolImage::Open(spool_, 5), HasErrc(Errc::kCorruption));
}

TEST(JobRecordTest, IsDecodedAsEncoded) {
  JobRecord job;
  job.id = 12;
  job.request.source = "A";
  job.request.mode = CopyMode::kIncremental;
  job.request.policy = CopyPolicy::kMinicopy;
  job.request.target = "B";
  job.request.verify = false;
  job.request.whole = true;
  job.request.overwrite_last = true;
  job.request.wipe = false;
  job.request.wait_mounted = false;
  job.state = JobState::kFailed;
  job.cancel_requested = true;
  job.method = "full";
  job.target_medium = "V1";
  job.target_volume = "A-B1";
  job.generation = {0xFFFFFFFFFFFFFFFF, 7};
  job.regions_total = 1;
  job.regions_done = 2;
  job.bytes_copied = 3;
  job.bytes_verified = 4;
  job.created = {1, 2};
  job.ended = {3, 4};
  job.error = Errc::kTimedOut;
  job.message = "m\"\n";
  job.log = {"a", "b"};
  const std::string text = EncodeJob(job);
  ASSERT_OK_AND_ASSIGN(const JobRecord back, DecodeJob(text));
  EXPECT_EQ(EncodeJob(back), text);
  EXPECT_EQ(back.error, Errc::kTimedOut);
  EXPECT_EQ(back.generation, job.generation);
  EXPECT_EQ(back.log, job.log);
  for (const char* bad : {"", "{}", "[1]", "{\"version\":1}", "\xff\xfe"}) {
    EXPECT_THAT(DecodeJob(bad), HasErrc(Errc::kCorruption)) << bad;
  }
}

}  // namespace
}  // namespace vellum
