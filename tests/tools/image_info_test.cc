// SPDX-License-Identifier: Apache-2.0
// What `info --image` and `fsck --image` say of an image file.
#include "tools/image_info.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>

#include "copy/backup_medium.h"
#include "media/file_util.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/virtual_library.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

class ImageInfoTest : public testing::Test {
 protected:
  void SetUp() override {
    WriteFileOrDie(image_, "");
    std::filesystem::resize_file(image_, 16 << 20);
  }
  void Format() {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Medium> medium,
                         OpenImageFile(image_, /*read_only=*/false));
    udf::FormatOptions options;
    options.volume_id = "ORIG";
    options.threshold = 90;
    ASSERT_OK(udf::FormatVolume(*medium, options).status());
  }

  TempDir dir_;
  const std::string image_ = dir_.Sub("medium.img");
};

TEST_F(ImageInfoTest, ShowsIdentity) {
  Format();
  ASSERT_OK_AND_ASSIGN(const Json info, ImageInfo(image_));
  EXPECT_EQ(info["volume"], "ORIG");
  EXPECT_EQ(info["role"], "primary");
  EXPECT_EQ(info["threshold"], 90);
  EXPECT_EQ(info["sectors"], (16 << 20) / 2048);
  EXPECT_FALSE(info.contains("owner"));
}

// The control log, in JSON and as a person reads it.
TEST_F(ImageInfoTest, I6_ShowsWhatCopiesNoted) {
  Format();
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Medium> medium,
                         OpenImageFile(image_, /*read_only=*/false));
    CopyNote note;
    note.job = 7;
    note.source = "PRIM";
    note.method = "full";
    note.generation = {0xfedcba9876543210, 5};
    note.started = {1769860800, 1};
    note.ended = {1769860860, 2};
    udf::LogEntry odd;  // of nobody that is known
    odd.text = R"({"event":[1],"ended":"soon","lineage":-1,"generation":2})";
    uint64_t end = 0;
    ASSERT_OK_AND_ASSIGN(const udf::VolumeDescription description,
                         udf::ReadDescription(*medium));
    ASSERT_OK(udf::AppendControlLog(*medium, description.geometry, &end,
                                    {EncodeNote(note), odd}));
    ASSERT_OK(medium->Flush());
  }
  ASSERT_OK_AND_ASSIGN(const Json info, ImageInfo(image_));
  ASSERT_EQ(info["log"].size(), 2u) << info.dump(1);
  const Json& entry = info["log"][0]["entry"];
  EXPECT_EQ(entry["started"], "2026-01-31T12:00:00Z");
  EXPECT_EQ(entry["ended"], "2026-01-31T12:01:00Z");
  EXPECT_EQ(entry["generation"]["lineage"], "fedcba9876543210");
  EXPECT_EQ(entry["generation"]["number"], 5);
  EXPECT_FALSE(entry.contains("lineage"));
  EXPECT_EQ(info["log"][1]["entry"]["lineage"], -1);
  const std::string text = MediumInfoText(info);
  EXPECT_THAT(text, testing::HasSubstr("volume            ORIG\n"));
  EXPECT_THAT(text,
              testing::HasSubstr(
                  "log               2026-01-31T12:01:00Z copy "
                  "ended=2026-01-31T12:01:00Z generation=fedcba9876543210/5 "
                  "job=7 method=full source=PRIM started=2026-01-31T12:00:00Z "
                  "success=true\n"));
  EXPECT_EQ(text.find('{'), std::string::npos) << text;
}

TEST_F(ImageInfoTest, BlankImageHoldsNoVolume) {
  EXPECT_THAT(ImageInfo(image_), HasErrc(Errc::kNotFound));
  EXPECT_THAT(ImageInfo(image_), MessageHas(image_));
  const auto fsck = FsckImage(image_, {});
  ASSERT_FALSE(fsck.ok());
  // The path stands there once.
  EXPECT_EQ(fsck.error().message, image_ + ": no UDF volume");
  WriteFileOrDie(image_, "");
  EXPECT_THAT(FsckImage(image_, {}), MessageHas(image_ + ": is empty"));
}

TEST_F(ImageInfoTest, MissingImage) {
  EXPECT_THAT(ImageInfo(dir_.Sub("none.img")), HasErrc(Errc::kNotFound));
}

TEST_F(ImageInfoTest, FsckOfANewVolumeIsClean) {
  Format();
  ASSERT_OK_AND_ASSIGN(const Json report, FsckImage(image_, {}));
  EXPECT_EQ(report["clean"], true) << report.dump();
  EXPECT_EQ(report["directories"], 1);
  EXPECT_EQ(report["files"], 0);
}

TEST_F(ImageInfoTest, FsckRefusesWhatADriveHas) {
  Format();
  const UniqueFd drive(open(image_.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(flock(drive.get(), LOCK_EX | LOCK_NB), 0);
  const auto report = FsckImage(image_, {});
  EXPECT_THAT(report, HasErrc(Errc::kBusy));
  EXPECT_THAT(report, MessageHas(image_ + ": a drive of a running library"));
  EXPECT_OK(ImageInfo(image_));
}

TEST_F(ImageInfoTest, FsckFindsDamage) {
  Format();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Medium> medium,
                       OpenImageFile(image_, /*read_only=*/false));
  // The second anchor: readers live with one of them gone, fsck reports it.
  ASSERT_OK(medium->Write(medium->Info().sectors - 1, Bytes(kSectorSize)));
  ASSERT_OK(medium->Flush());
  ASSERT_OK_AND_ASSIGN(const Json report, FsckImage(image_, {}));
  EXPECT_EQ(report["clean"], false);
  EXPECT_GE(report["error_count"], 1);
}

}  // namespace
}  // namespace vellum
