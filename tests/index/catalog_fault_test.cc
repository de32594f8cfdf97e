// SPDX-License-Identifier: Apache-2.0
// What survives when the process, the power or the disk under the catalog goes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "index/catalog.h"
#include "tests/index/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

extern char** environ;

namespace vellum {
namespace {

using Fault = FaultyFileSystem::Fault;

// Row and inode `i` in one batch; `padding` makes logs and buffers turn over.
CatalogBatch NumberedBatch(uint32_t i, const std::string& padding = "value") {
  CatalogBatch batch;
  batch.PutRow("row", std::to_string(i), padding);
  batch.PutInode(1, i, InodeRecord());
  return batch;
}

bool Has(const Catalog& catalog, uint32_t i) {
  const auto row = catalog.GetRow("row", std::to_string(i));
  const auto inode = catalog.GetInode(1, i);
  EXPECT_EQ(row.ok(), inode.ok()) << "half of batch " << i;
  if (!row.ok()) {
    EXPECT_THAT(row, HasErrc(Errc::kNotFound));
  }
  return row.ok();
}

// How many of the batches 1, 2, … are there; expects none behind a gap.
uint32_t Survivors(const Catalog& catalog, uint32_t written) {
  uint32_t count = 0;
  while (count < written && Has(catalog, count + 1)) ++count;
  for (uint32_t i = count + 1; i <= written; ++i) {
    EXPECT_FALSE(Has(catalog, i)) << "survived without " << count + 1;
  }
  return count;
}

class CatalogFaultTest : public testing::Test {
 protected:
  std::string path() const { return dir_.Sub("catalog"); }
  Result<std::unique_ptr<Catalog>> OpenFaulty() {
    Catalog::Options options;
    options.env = MakeEnv(file_system_);
    return Catalog::Open(path(), options);
  }

  TempDir dir_;
  std::shared_ptr<FaultyFileSystem> file_system_ =
      std::make_shared<FaultyFileSystem>();
};

TEST_F(CatalogFaultTest, SyncedWritesSurviveAKill) {
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  ASSERT_EQ(posix_spawn_file_actions_init(&actions), 0);
  ASSERT_EQ(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
  std::string program = CATALOG_WRITER;
  std::string catalog_path = path();
  char* argv[] = {program.data(), catalog_path.data(), nullptr};
  pid_t child = 0;
  ASSERT_EQ(
      posix_spawn(&child, program.c_str(), &actions, nullptr, argv, environ),
      0);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  FILE* const lines = fdopen(out[0], "r");
  ASSERT_NE(lines, nullptr);
  uint32_t last = 0;
  uint32_t number = 0;
  while (last < 50 && std::fscanf(lines, "%u", &number) == 1) last = number;
  EXPECT_EQ(last, 50u);
  EXPECT_EQ(kill(child, SIGKILL), 0);
  while (std::fscanf(lines, "%u", &number) == 1) last = number;
  std::fclose(lines);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));

  ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Open(path(), {}));
  // The one that was under way may be there, too.
  EXPECT_GE(Survivors(*catalog, last + 1), last);
}

TEST_F(CatalogFaultTest, PowerCutKeepsSyncedWritesAndNoLaterOneAlone) {
  constexpr uint32_t kBatches = 400;
  const std::string padding(96 << 10, 'x');  // several logs, several flushes
  uint32_t kept_unsynced = 0;
  uint32_t lost = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const TempDir dir;
    const auto file_system = std::make_shared<FaultyFileSystem>();
    Catalog::Options options;
    options.env = MakeEnv(file_system);
    uint32_t written = 0;
    uint32_t synced = 0;
    {
      ASSERT_OK_AND_ASSIGN(const auto catalog,
                           Catalog::Open(dir.Sub("catalog"), options));
      file_system->CutPowerAt(seed * 60);
      for (uint32_t i = 1; i <= kBatches; ++i) {
        const Sync sync = i % 101 == 0 ? Sync::kYes : Sync::kNo;
        const Status status = catalog->Write(NumberedBatch(i, padding), sync);
        if (!status.ok()) break;
        written = i;
        if (sync == Sync::kYes) synced = i;
        if (i % 170 == 0 && catalog->SyncLog().ok()) synced = i;
      }
      EXPECT_FALSE(file_system->power());
    }
    file_system->LoseUnsynced(seed);
    ASSERT_OK_AND_ASSIGN(const auto catalog,
                         Catalog::Open(dir.Sub("catalog"), {}));
    const uint32_t survivors = Survivors(*catalog, written + 1);
    EXPECT_GE(survivors, synced) << "seed " << seed;
    kept_unsynced += survivors > synced ? survivors - synced : 0;
    lost += written - std::min(written, survivors);
    EXPECT_OK(catalog->Write(NumberedBatch(written + 2), Sync::kYes));
  }
  // The simulation did both, else it proves nothing.
  EXPECT_GT(kept_unsynced, 0u);
  EXPECT_GT(lost, 0u);
}

TEST_F(CatalogFaultTest, PowerCutAtEveryStepOfThePendingProtocol) {
  CatalogBatch batch = NumberedBatch(7);
  const PendingBatch pending{Generation{5, 6}, 7, batch.Serialize()};
  // Runs the protocol until something fails; the steps that succeeded.
  const auto run = [&](const std::shared_ptr<FaultyFileSystem>& file_system,
                       const std::string& where) {
    Catalog::Options options;
    options.env = MakeEnv(file_system);
    auto catalog = Catalog::Open(where, options);
    if (!catalog.ok()) return 0;
    if (!(*catalog)->PutPending(1, pending).ok()) return 1;
    if (!(*catalog)->ApplyPending(1, &batch).ok()) return 2;
    if (!(*catalog)->SyncLog().ok()) return 3;
    return 4;
  };
  uint64_t steps = 0;
  {
    const TempDir dir;
    const auto file_system = std::make_shared<FaultyFileSystem>();
    ASSERT_EQ(run(file_system, dir.Sub("catalog")), 4);
    steps = file_system->appends_and_syncs();
  }
  ASSERT_GT(steps, 20u);
  for (uint64_t step = 1; step <= steps; ++step) {
    const TempDir dir;
    const auto file_system = std::make_shared<FaultyFileSystem>();
    file_system->CutPowerAt(step);
    const int done = run(file_system, dir.Sub("catalog"));
    file_system->LoseUnsynced(step);
    ASSERT_OK_AND_ASSIGN(const auto catalog,
                         Catalog::Open(dir.Sub("catalog"), {}));
    ASSERT_OK_AND_ASSIGN(const auto found, catalog->GetPending(1));
    const bool applied = Has(*catalog, 7);
    // Never lost between the two, never both, never a part.
    EXPECT_FALSE(found && applied) << "step " << step;
    if (done >= 2) {
      EXPECT_TRUE(found || applied) << "step " << step;
    }
    if (done >= 4) {
      EXPECT_TRUE(applied) << "step " << step;
    }
    if (found) {
      EXPECT_EQ(found->generation, pending.generation);
      EXPECT_EQ(found->batch, pending.batch);
      EXPECT_OK(catalog->ApplyPending(1));
      EXPECT_TRUE(Has(*catalog, 7));
    }
  }
}

TEST_F(CatalogFaultTest, FullDiskIsNoSpaceAndLosesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    for (uint32_t i = 1; i <= 10; ++i) {
      ASSERT_OK(catalog->Write(NumberedBatch(i), Sync::kYes));
    }
    file_system_->SetFault(Fault::kFull);
    EXPECT_THAT(catalog->Write(NumberedBatch(11), Sync::kYes),
                HasErrc(Errc::kNoSpace));
    EXPECT_FALSE(Has(*catalog, 11));
    // Reading goes on; writing does not.
    EXPECT_EQ(Survivors(*catalog, 20), 10u);
    EXPECT_FALSE(catalog->Write(NumberedBatch(12), Sync::kYes).ok());
    EXPECT_FALSE(catalog->PutPending(1, {Generation{1, 2}, 3, "\x01"}).ok());
  }
  file_system_->SetFault(Fault::kNone);
  ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
  EXPECT_EQ(Survivors(*catalog, 20), 10u);
  EXPECT_FALSE(catalog->GetPending(1)->has_value());
  EXPECT_OK(catalog->Write(NumberedBatch(11), Sync::kYes));
  EXPECT_EQ(Survivors(*catalog, 20), 11u);
}

TEST_F(CatalogFaultTest, WritingGoesOnOnceThereIsRoom) {
  const uint64_t reserve = Catalog::Options().disk_reserve;
  {
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    ASSERT_OK(catalog->Write(NumberedBatch(1), Sync::kYes));
    file_system_->SetFreeSpace(reserve);
    const uint64_t before = file_system_->appends_and_syncs();
    const Status full = catalog->Write(NumberedBatch(50), Sync::kYes);
    EXPECT_THAT(full, HasErrc(Errc::kNoSpace));
    EXPECT_NE(full.error().message.find(path()), std::string::npos);
    EXPECT_THAT(catalog->PutPending(1, {Generation{1, 2}, 3, "\x01"}),
                HasErrc(Errc::kNoSpace));
    EXPECT_THAT(catalog->NewVolumeIndex(), HasErrc(Errc::kNoSpace));
    EXPECT_THAT(catalog->SyncLog(), HasErrc(Errc::kNoSpace));
    EXPECT_THAT(catalog->CheckWrite(1), HasErrc(Errc::kNoSpace));
    // The database has not been touched: it is as good as before.
    EXPECT_EQ(file_system_->appends_and_syncs(), before);
    file_system_->SetFreeSpace(reserve + 4096);
    EXPECT_OK(catalog->CheckWrite(4096));
    EXPECT_THAT(catalog->CheckWrite(4097), HasErrc(Errc::kNoSpace));
    EXPECT_OK(catalog->Write(NumberedBatch(2), Sync::kYes));
    EXPECT_OK(catalog->Write(NumberedBatch(3), Sync::kYes));
  }
  file_system_->LoseUnsynced(1);
  ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
  EXPECT_EQ(Survivors(*catalog, 50), 3u);
}

TEST_F(CatalogFaultTest, WithoutItsReserveItIsNotOpened) {
  file_system_->SetFreeSpace(Catalog::Options().disk_reserve - 1);
  EXPECT_THAT(OpenFaulty(), HasErrc(Errc::kNoSpace));
  EXPECT_EQ(file_system_->appends_and_syncs(), 0u);
  file_system_->SetFreeSpace(Catalog::Options().disk_reserve + (1 << 20));
  EXPECT_OK(OpenFaulty());
}

// A log that has failed must never be written to again, room or not: the
// database would end the program.
TEST_F(CatalogFaultTest, AFullDiskThatTheDatabaseMetIsFinal) {
  {
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    ASSERT_OK(catalog->Write(NumberedBatch(1), Sync::kYes));
    file_system_->SetFault(Fault::kFull);
    EXPECT_THAT(catalog->Write(NumberedBatch(50), Sync::kYes),
                HasErrc(Errc::kNoSpace));
    file_system_->SetFault(Fault::kNone);
    const uint64_t before = file_system_->appends_and_syncs();
    const Status later = catalog->Write(NumberedBatch(2), Sync::kYes);
    EXPECT_THAT(later, HasErrc(Errc::kNoSpace));
    EXPECT_NE(later.error().message.find("restarted"), std::string::npos);
    EXPECT_THAT(catalog->SyncLog(), HasErrc(Errc::kNoSpace));
    EXPECT_THAT(catalog->CheckWrite(0), HasErrc(Errc::kNoSpace));
    EXPECT_EQ(file_system_->appends_and_syncs(), before);
    EXPECT_EQ(Survivors(*catalog, 50), 1u);
  }
  ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
  EXPECT_EQ(Survivors(*catalog, 50), 1u);
  EXPECT_OK(catalog->Write(NumberedBatch(2), Sync::kYes));
}

TEST_F(CatalogFaultTest, OpenOnAFullDiskIsNoSpace) {
  file_system_->SetFault(Fault::kFull);
  EXPECT_THAT(OpenFaulty(), HasErrc(Errc::kNoSpace));
  file_system_->SetFault(Fault::kNone);
  EXPECT_OK(OpenFaulty());
}

TEST_F(CatalogFaultTest, FailedSyncRefusesWritesUntilReopened) {
  {
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    ASSERT_OK(catalog->Write(NumberedBatch(1), Sync::kYes));
    file_system_->SetFault(Fault::kFailedSync);
    EXPECT_THAT(catalog->Write(NumberedBatch(2), Sync::kYes),
                HasErrc(Errc::kDeviceError));
    EXPECT_FALSE(Has(*catalog, 2));
    // Even if the device seems to be well again: what it forgot is not known.
    file_system_->SetFault(Fault::kNone);
    const Status later = catalog->Write(NumberedBatch(3), Sync::kYes);
    EXPECT_THAT(later, HasErrc(Errc::kDeviceError));
    // Restarted alone it would fail again.
    EXPECT_THAT(later, MessageHas("until its disk is in order again"));
    EXPECT_THAT(catalog->SyncLog(), HasErrc(Errc::kDeviceError));
  }
  ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
  EXPECT_TRUE(Has(*catalog, 1));
  EXPECT_OK(catalog->Write(NumberedBatch(3), Sync::kYes));
}

TEST_F(CatalogFaultTest, AFailedSyncMayLoseWhatItWasToMakeDurable) {
  {
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    ASSERT_OK(catalog->Write(NumberedBatch(1), Sync::kYes));
  }
  for (const uint32_t seed : {0, 1, 2, 3}) {
    file_system_->SetFault(Fault::kNone);
    {
      ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
      ASSERT_OK(catalog->Write(NumberedBatch(10 + seed), Sync::kYes));
      file_system_->SetFault(Fault::kFailedSync);
      EXPECT_THAT(catalog->Write(NumberedBatch(20 + seed), Sync::kYes),
                  HasErrc(Errc::kDeviceError));
    }
    file_system_->LoseFailed(seed);
    file_system_->SetFault(Fault::kNone);
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    EXPECT_TRUE(Has(*catalog, 1));
    EXPECT_TRUE(Has(*catalog, 10 + seed));
    EXPECT_EQ(Has(*catalog, 20 + seed), seed == 0);
  }
}

// A change of the MANIFEST that was cut before its sync: nobody relies on it.
TEST_F(CatalogFaultTest, ATornEndOfTheManifestCostsNothing) {
  {
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    ASSERT_OK(catalog->Write(NumberedBatch(1), Sync::kYes));
  }
  const auto manifest = [this] {
    std::string name = ReadFileOrDie(path() + "/CURRENT");
    name.pop_back();
    return path() + "/" + name;
  };
  const auto append = [&](const std::string& bytes) {
    WriteFileOrDie(manifest(), ReadFileOrDie(manifest()) + bytes);
  };
  // Of RocksDB's log: CRC, length, type, and what was to be there.
  const auto piece = [](char type, size_t length) {
    return std::string("\1\2\3\4", 4) + static_cast<char>(length) + '\0' +
           type + std::string(length / 2, 'x') +
           std::string(length - length / 2, '\0');
  };
  for (const std::string& torn :
       {piece(1, 90), piece(2, 90), piece(1, 90) + piece(1, 60),
        piece(1, 90).substr(0, 50), std::string(300, '\0'),
        std::string(8, '\0') + piece(1, 40)}) {
    append(torn);
    ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
    EXPECT_TRUE(Has(*catalog, 1));
    ASSERT_OK(catalog->Write(NumberedBatch(2), Sync::kYes));
  }
  // With something whole behind it that was no cut.
  const std::string whole = ReadFileOrDie(manifest());
  const size_t first =
      7 + static_cast<uint8_t>(whole[4]) +
      (static_cast<size_t>(static_cast<uint8_t>(whole[5])) << 8);
  append(piece(1, 90) + whole.substr(0, first));
  EXPECT_THAT(OpenFaulty(), HasErrc(Errc::kCorruption));
  // Nor was what was there when the database was closed.
  std::string spoiled = whole;
  spoiled[spoiled.size() - 1] ^= 1;
  WriteFileOrDie(manifest(), spoiled);
  EXPECT_THAT(OpenFaulty(), HasErrc(Errc::kCorruption));
  WriteFileOrDie(manifest(), whole);
  ASSERT_OK_AND_ASSIGN(const auto catalog, OpenFaulty());
  EXPECT_TRUE(Has(*catalog, 2));
}

}  // namespace
}  // namespace vellum
