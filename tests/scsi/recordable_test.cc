// SPDX-License-Identifier: Apache-2.0
// A copy onto a blank DVD+R of a real target: written once, in order, closed.
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "copy/write_once_copy.h"
#include "media/image_medium.h"
#include "media/scsi/scsi_drive.h"
#include "tests/copy/engine_fixture.h"
#include "tests/scsi/devices.h"

namespace vellum {
namespace {

constexpr uint64_t kSectors = 8192;

class RecordableTest : public EngineTest {
 protected:
  void SetUp() override {
    PutEverythingAway();
    const ScsiNames names = NamedDevices();
    auto changer = OpenTransport(names.changer);
    ASSERT_OK(changer);
    changer_ = std::make_unique<scsi::Device>(std::move(*changer));
    // Blank ones are the last (jukebox.py).
    for (const auto& [address, tag] :
         ReadByCommand(*changer_, ElementType::kStorage)) {
      if (tag > tag_) std::tie(home_, tag_) = std::pair(address, tag);
    }
    auto transport = OpenTransport(names.drives.front().second);
    ASSERT_OK(transport);
    drive_ = std::make_unique<scsi::ScsiDrive>(
        names.drives.front().first,
        std::make_shared<scsi::Device>(std::move(*transport)),
        scsi::ScsiDriveOptions{});
    Load();
  }
  void Load() {
    ASSERT_OK(MoveByCommand(*changer_, home_, drive_->Address()));
    auto medium = drive_->Open();
    ASSERT_OK(medium);
    medium_ = std::move(*medium);
  }
  void Unload() {
    medium_.reset();
    ASSERT_OK(drive_->Close());
    ASSERT_OK(MoveByCommand(*changer_, drive_->Address(), home_));
  }
  void TearDown() override {
    medium_.reset();
    drive_->Close().IgnoreError("the medium is put away next");
    PutEverythingAway();
  }

  Status Run(const CopySource& source) {
    ASSIGN_OR_RETURN(TargetContent found, ProbeTarget(*medium_));
    WriteOnceCopyOptions options;
    options.volume_id = "BACKUP";
    WriteOnceCopy copy(medium_.get(), std::move(found), &source, options,
                       Hooks());
    RETURN_IF_ERROR(copy.CheckTarget());
    RETURN_IF_ERROR(copy.Prepare({}));
    RETURN_IF_ERROR(copy.Write());
    RETURN_IF_ERROR(copy.Verify());
    return copy.Commit();
  }
  std::string File() const {
    return NamedByEnvironment("VELLUM_SCSI_MEDIA") + "/" + tag_;
  }

  std::unique_ptr<scsi::Device> changer_;
  ElementAddress home_{};
  VolumeTag tag_;
  std::unique_ptr<scsi::ScsiDrive> drive_;
  std::unique_ptr<Medium> medium_;
};

TEST_F(RecordableTest, H2_ABlankDvdTakesOneCopyAndIsClosed) {
  ASSERT_EQ(medium_->Info().medium_class, MediumClass::kWriteOnce);
  ASSERT_FALSE(medium_->Info().write_protected);
  Make(kSectors, 11);
  Change(120);
  const Pinned pinned = Pin();
  ASSERT_OK(Run(pinned.source));
  EXPECT_TRUE(medium_->Info().write_protected);
  ExpectBackup(medium_.get(), pinned);

  // As it is seen by whoever loads it later.
  Unload();
  Load();
  EXPECT_TRUE(medium_->Info().write_protected);
  ExpectBackup(medium_.get(), pinned);
  // A second copy is refused before it starts.
  Bytes before(kSectors * kSectorSize), after(before.size());
  ASSERT_OK(medium_->Read(0, before));
  EXPECT_THAT(Run(pinned.source), HasErrc(Errc::kWriteProtected));
  ASSERT_OK(medium_->Read(0, after));
  EXPECT_EQ(before, after);

  // And on the host, past the target.
  Unload();
  ImageMediumOptions options;
  options.read_only = true;
  ASSERT_OK_AND_ASSIGN(const auto image, ImageMedium::Open(File(), options));
  ExpectBackup(image.get(), pinned);
}

}  // namespace
}  // namespace vellum
