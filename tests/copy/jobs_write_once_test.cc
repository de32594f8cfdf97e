// SPDX-License-Identifier: Apache-2.0
// What becomes of a write-once disc that was closed and is bad: for ever its
// own slot says COMPLETE.
#include <atomic>
#include <map>

#include "copy/pool.h"
#include "media/borrowed_medium.h"
#include "media/write_once_medium.h"
#include "tests/copy/jobs_fixture.h"

namespace vellum {
namespace {

// A disc that its drive reads only once it is closed. `bad`: it did not keep
// one sector, in which no generation has anything.
class LateDisc : public BorrowedMedium {
 public:
  static constexpr uint64_t kBadSector = 8000;

  LateDisc(std::unique_ptr<Medium> disc, bool bad)
      : BorrowedMedium(disc.get()), disc_(std::move(disc)), bad_(bad) {}

  Status Read(uint64_t lba, ByteSpan out) override {
    const bool closed = Info().write_protected;
    if (written_ && !closed) {
      return Status(Errc::kNotSupported, "not before it is closed");
    }
    RETURN_IF_ERROR(BorrowedMedium::Read(lba, out));
    const uint64_t end = lba + out.size() / kSectorSize;
    if (bad_ && closed && lba <= kBadSector && kBadSector < end) {
      out[(kBadSector - lba) * kSectorSize] ^= std::byte{1};
    }
    return Status::Ok();
  }
  Status WriteBy(Writer write, uint64_t lba, ConstByteSpan data) override {
    written_ = true;
    return BorrowedMedium::WriteBy(write, lba, data);
  }

 private:
  const std::unique_ptr<Medium> disc_;
  const bool bad_;
  std::atomic<bool> written_{false};
};

class JobsWriteOnceTest : public JobsTest {
 protected:
  ~JobsWriteOnceTest() override { Close(); }

  // V00002 and V00003 are written once; V00002 is bad.
  void StartDiscs() {
    library_options_.hooks.loaded =
        [this](const MediumId& id, ElementAddress,
               std::unique_ptr<Medium> medium) -> std::unique_ptr<Medium> {
      if (id != "V00002" && id != "V00003") return medium;
      return std::make_unique<LateDisc>(
          std::make_unique<WriteOnceMedium>(std::move(medium), states_.at(id),
                                            [this, id](WrittenState state) {
                                              states_.at(id) = state;
                                              return Status::Ok();
                                            }),
          id == "V00002");
    };
    Start(2, 4);
  }
  Result<JobRecord> CopyToDisc(int medium) {
    CopyRequest request = Request("PRIM");
    request.target = Tag(medium);
    return Run(request);
  }
  std::string Damage(const std::string& id) {
    const Result<std::string> text =
        ReadDamage(*catalog_, volumes_->Find(id)->record().medium_uuid);
    EXPECT_OK(text);
    return text.ok() ? *text : "";
  }

  // The keys stay; what is of one medium is used by who has it loaded.
  std::map<MediumId, WrittenState> states_{{"V00002", WrittenState::kBlank},
                                           {"V00003", WrittenState::kBlank}};
};

TEST_F(JobsWriteOnceTest, ADiscThatIsBadBehindItsClosingIsNeverAGoodBackup) {
  StartDiscs();
  MakePrimary(1, "PRIM");
  Fill("PRIM", 17);
  ASSERT_OK_AND_ASSIGN(const JobRecord failed, CopyToDisc(2));
  EXPECT_EQ(failed.state, JobState::kFailed);
  EXPECT_EQ(failed.error, Errc::kCorruption) << Story(failed);
  EXPECT_NE(Damage("V00002").find("could not verify it"), std::string::npos);
  EXPECT_EQ(volumes_->Find("V00002")->record().state,
            udf::SlotState::kIncomplete);

  // To whoever reads it it is complete, and stays damaged.
  SendAllHome();
  Reopen();
  ASSERT_OK(Reindex(archive(), ReindexMode::kReset));
  const VolumeRecord record = volumes_->Find("V00002")->record();
  EXPECT_EQ(record.state, udf::SlotState::kComplete);
  EXPECT_NE(Damage("V00002"), "");
  const std::string primary = volumes_->Find("PRIM")->record().medium_uuid;
  EXPECT_TRUE(IsLastComplete(archive(), primary, Tag(4)));
  // Nothing is restored from it unasked.
  const Status restored = jobs_->SubmitRestore("PRIM", "").status();
  EXPECT_THAT(restored, HasErrc(Errc::kNotFound));
  EXPECT_THAT(restored, MessageHas("V00002 is damaged"));
  FileSelection files;
  files.paths = {"/"};
  files.recursive = true;
  files.replace = true;
  EXPECT_THAT(jobs_->SubmitFileRestore("PRIM", "", files).status(),
              MessageHas("V00002 is damaged"));

  // A good one is what it was.
  ASSERT_OK_AND_ASSIGN(const JobRecord good, CopyToDisc(3));
  EXPECT_EQ(good.state, JobState::kDone) << Story(good);
  EXPECT_EQ(Damage("V00003"), "");
  EXPECT_FALSE(IsLastComplete(archive(), primary, Tag(4)));
  ASSERT_OK_AND_ASSIGN(const JobId job, jobs_->SubmitRestore("PRIM", ""));
  ASSERT_OK_AND_ASSIGN(const JobRecord done, jobs_->Wait(job));
  EXPECT_EQ(done.state, JobState::kDone) << Story(done);
  EXPECT_TRUE(Says(done, "V00003")) << Story(done);
}

}  // namespace
}  // namespace vellum
