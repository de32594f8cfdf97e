// SPDX-License-Identifier: Apache-2.0
// What `info --image` and `fsck --image` say of an image file.
#include "tools/image_info.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>

#include "media/file_util.h"
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
