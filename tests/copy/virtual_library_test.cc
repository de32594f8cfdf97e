// SPDX-License-Identifier: Apache-2.0
// One library of image files, from init to a converted backup: the media are
// what other programs would find.
#include "media/virtual_library.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "copy/jobs.h"
#include "copy/operations.h"
#include "media/udf/fsck.h"
#include "media/virtual_medium.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {
namespace {

class VirtualLibraryCopyTest : public testing::Test {
 protected:
  void SetUp() override {
    VirtualLibraryOptions options;
    options.media = 4;
    options.capacity = 64 << 20;
    ASSERT_OK(InitVirtualLibrary(dir_.Sub("library"), options));
    Open();
  }
  ~VirtualLibraryCopyTest() override { Close(); }
  void Open() {
    ASSERT_OK_AND_ASSIGN(const LibraryConfig config,
                         ReadLibraryConfig(dir_.Sub("library")));
    ASSERT_OK_AND_ASSIGN(LibraryDevices devices, OpenVirtualLibrary(config));
    ASSERT_OK_AND_ASSIGN(library_, Library::Open(std::move(devices.changer),
                                                 std::move(devices.drives)));
    ASSERT_OK_AND_ASSIGN(catalog_,
                         Catalog::Open(config.directory + "/catalog", {}));
    ASSERT_OK_AND_ASSIGN(volumes_,
                         Volumes::Open(catalog_.get(), library_.get(), {}));
    JobsOptions options;
    options.spool_directory = config.directory + "/spool";
    ASSERT_OK_AND_ASSIGN(jobs_, Jobs::Open(catalog_.get(), library_.get(),
                                           volumes_.get(), options));
  }
  void Close() {
    jobs_.reset();
    volumes_.reset();
    library_.reset();
    catalog_.reset();
  }
  Archive archive() { return {catalog_.get(), library_.get(), volumes_.get()}; }
  void WriteRandom(const std::string& name, uint64_t seed, size_t size) {
    std::mt19937_64 rng(seed);
    Bytes content(size);
    for (std::byte& b : content) b = static_cast<std::byte>(rng());
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volumes_->Find("DISC")));
    ASSERT_OK_AND_ASSIGN(const Attr file,
                         use->Create(use->root(), name, NewInode()));
    ASSERT_OK(use->Write(file.ino, 0, content));
  }
  void Copy(CopyMode mode, const std::string& target,
            const std::string& method) {
    CopyRequest request;
    request.source = "DISC";
    request.mode = mode;
    request.target = target;
    ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(request));
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
    ASSERT_EQ(job.state, JobState::kDone) << job.message;
    EXPECT_EQ(job.method, method);
  }
  void ExpectCleanImage(const std::string& tag) {
    ASSERT_OK_AND_ASSIGN(
        const auto medium,
        OpenImageFile(dir_.Sub("library") + "/media/" + tag + ".img", true));
    udf::FsckOptions options;
    options.check_data = true;
    ASSERT_OK_AND_ASSIGN(const udf::FsckReport report,
                         udf::CheckVolume(*medium, options));
    EXPECT_TRUE(report.clean()) << report.errors[0].text;
  }

  TempDir dir_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Volumes> volumes_;
  std::unique_ptr<Jobs> jobs_;
};

// The image file of a medium is gone: said before anything is staged, with its
// path.
TEST_F(VirtualLibraryCopyTest, MissingImageFileIsSaidBeforeStaging) {
  FormatRequest format;
  format.medium = "V00001";
  format.volume_id = "DISC";
  ASSERT_OK(Format(archive(), format));
  WriteRandom("a", 1, 1'000'000);
  const std::string path = dir_.Sub("library") + "/media/V00003.img";
  ASSERT_TRUE(std::filesystem::remove(path));
  CopyRequest request;
  request.source = "DISC";
  request.target = "V00003";
  // While the daemon runs: the job finds out.
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(request));
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.error, Errc::kNoMedium);
  EXPECT_NE(job.message.find("V00003"), std::string::npos) << job.message;
  EXPECT_NE(job.message.find(path), std::string::npos) << job.message;
  for (const std::string& line : job.log) {
    EXPECT_EQ(line.find("staging-in"), std::string::npos) << line;
  }
  // Once it is known no job is made.
  const auto refused = jobs_->Submit(request);
  EXPECT_THAT(refused, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(refused, MessageHas(path));
  Close();
  Open();
  EXPECT_THAT(jobs_->Submit(request), MessageHas(path));
  EXPECT_EQ(jobs_->List().size(), 1u);
  // The pool passes it over; a backup that is gone is not given up silently.
  Copy(CopyMode::kImage, "V00002", "full");
  const std::string backup = dir_.Sub("library") + "/media/V00002.img";
  ASSERT_TRUE(std::filesystem::remove(backup));
  ASSERT_OK(library_->RefreshElements());
  request.target.clear();
  EXPECT_THAT(jobs_->Submit(request), MessageHas(backup));
  format.medium = "V00004";
  format.volume_id = "OTHER";
  ASSERT_OK(Format(archive(), format));
  request.source = "OTHER";
  const auto exhausted = jobs_->Submit(request);
  EXPECT_THAT(exhausted, HasErrc(Errc::kNoSpace));
  EXPECT_THAT(exhausted, MessageHas("1 unsuitable"));
  // The source's own.
  const std::string source = dir_.Sub("library") + "/media/V00001.img";
  Close();
  ASSERT_TRUE(std::filesystem::remove(source));
  Open();
  request.source = "DISC";
  request.target = "V00004";
  EXPECT_THAT(jobs_->Submit(request), MessageHas(source));
}

// An image file that comes back is a medium that can be used again, at once.
TEST_F(VirtualLibraryCopyTest, ReturnedImageFileIsUsedAgain) {
  FormatRequest format;
  format.medium = "V00001";
  format.volume_id = "DISC";
  ASSERT_OK(Format(archive(), format));
  WriteRandom("a", 1, 1'000'000);
  const auto image = [this](const std::string& tag) {
    return dir_.Sub("library") + "/media/" + tag + ".img";
  };
  const std::string hidden = dir_.Sub("hidden");
  const auto problem = [this](const std::string& medium) {
    const Result<MediumPlace> place = library_->FindMedium(medium);
    EXPECT_OK(place);
    return place->problem;
  };
  // Away while the daemon starts, then back: as a target.
  Close();
  std::filesystem::rename(image("V00002"), hidden);
  Open();
  EXPECT_NE(problem("V00002"), "");
  std::filesystem::rename(hidden, image("V00002"));
  Copy(CopyMode::kImage, "V00002", "full");
  // Away and back while it runs: as a source, of a copy and of a comparison,
  // and as the backup to restore from.
  const auto away_and_back = [&](const std::string& tag) {
    ASSERT_OK_AND_ASSIGN(const Volumes::Exclusion exclusion,
                         volumes_->Exclude(volumes_->FindByMedium(tag)));
    ASSERT_OK(library_->SendHome(tag));
    std::filesystem::rename(image(tag), hidden);
    ASSERT_OK(library_->RefreshElements());
    EXPECT_NE(problem(tag), "");
    std::filesystem::rename(hidden, image(tag));
  };
  away_and_back("V00001");
  Copy(CopyMode::kImage, "V00003", "full");
  away_and_back("V00003");
  ASSERT_OK_AND_ASSIGN(JobId id, jobs_->SubmitCompare("DISC", "V00003"));
  ASSERT_OK(jobs_->Wait(id));
  away_and_back("V00003");
  ASSERT_OK_AND_ASSIGN(id, jobs_->SubmitRestore("DISC", ""));
  ASSERT_OK_AND_ASSIGN(const JobRecord restored, jobs_->Wait(id));
  EXPECT_EQ(restored.state, JobState::kDone) << restored.message;
  EXPECT_EQ(restored.request.target, "V00003");
  // Who reads it clears it as well; and so does the inventory.
  away_and_back("V00003");
  LeaseRequest request;
  request.medium = "V00003";
  ASSERT_OK(library_->AcquireAndWait({request}));
  EXPECT_EQ(problem("V00003"), "");
  for (const ElementStatus& element : library_->ElementStatuses()) {
    EXPECT_FALSE(element.exception) << element.note;
  }
  away_and_back("V00003");
  ASSERT_OK(Inventory(archive(), /*all=*/false));
  EXPECT_EQ(problem("V00003"), "");
}

TEST_F(VirtualLibraryCopyTest, D4_EveryKindOfCopy) {
  FormatRequest format;
  format.medium = "V00001";
  format.volume_id = "DISC";
  ASSERT_OK(Format(archive(), format));
  WriteRandom("a", 1, 9'000'000);
  Copy(CopyMode::kImage, "", "full");
  Copy(CopyMode::kStreaming, "V00003", "full");
  WriteRandom("b", 2, 3'000'000);
  Copy(CopyMode::kIncremental, "V00002", "incremental");
  Close();
  for (const char* tag : {"V00001", "V00002", "V00003"}) ExpectCleanImage(tag);
  Open();
  Copy(CopyMode::kIncremental, "V00003", "incremental");
  for (const char* backup : {"V00002", "V00003"}) {
    ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->SubmitCompare("DISC", backup));
    ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
    EXPECT_EQ(job.state, JobState::kDone) << job.message;
  }
  ASSERT_OK(Convert(archive(), "V00003", "TWIN"));
  Close();
  for (const char* tag : {"V00001", "V00002", "V00003"}) ExpectCleanImage(tag);
}

// H2: a backup on a write-once medium stays one, and can be restored.
TEST_F(VirtualLibraryCopyTest,
       H2_ACopyOnAWriteOnceMediumIsRestoredNotPromoted) {
  Close();
  NewVirtualMedium once;
  once.tag = "ONCE";
  once.write_once = true;
  ASSERT_OK(AddVirtualMedium(dir_.Sub("library"), once));
  Open();
  FormatRequest format;
  format.medium = "V00001";
  format.volume_id = "DISC";
  ASSERT_OK(Format(archive(), format));
  WriteRandom("a", 1, 1'000'000);
  Copy(CopyMode::kImage, "ONCE", "full");
  const auto promoted = Promote(archive(), "ONCE");
  EXPECT_THAT(promoted, HasErrc(Errc::kWriteProtected));
  EXPECT_THAT(promoted, MessageHas("vellum restore DISC --from ONCE"));
  EXPECT_THAT(Convert(archive(), "ONCE", "NEW"),
              HasErrc(Errc::kWriteProtected));
  ASSERT_NE(volumes_->Find("DISC"), nullptr) << "nothing was renamed";

  WriteRandom("b", 2, 1'000'000);
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->SubmitRestore("DISC", "ONCE"));
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << job.message;
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volumes_->Find("DISC")));
    EXPECT_OK(use->Lookup(use->root(), "a"));
    EXPECT_THAT(use->Lookup(use->root(), "b"), HasErrc(Errc::kNotFound));
  }
  Close();
  ExpectCleanImage("V00001");
  ExpectCleanImage("ONCE");
}

// O18: the sides of a medium are two volumes; a copy goes to another medium.
TEST_F(VirtualLibraryCopyTest, O18_SidesAreVolumesOfTheirOwn) {
  Close();
  NewVirtualMedium medium;
  medium.two_sided = true;
  for (const char* tag : {"MO1", "MO2"}) {
    medium.tag = tag;
    ASSERT_OK(AddVirtualMedium(dir_.Sub("library"), medium));
  }
  Open();
  FormatRequest format;
  format.medium = "MO1A";
  format.volume_id = "DISC";
  ASSERT_OK(Format(archive(), format));
  WriteRandom("a", 1, 1'000'000);
  CopyRequest request;
  request.source = "DISC";
  request.target = "MO1B";
  const auto refused = jobs_->Submit(request);
  EXPECT_THAT(refused, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(refused, MessageHas("other side of the medium"));
  request.target = "MO2";
  EXPECT_THAT(jobs_->Submit(request), MessageHas("say MO2A or MO2B"));
  // One drive or two: the source's drive is never needed for it.
  Copy(CopyMode::kImage, "MO2B", "full");
  Copy(CopyMode::kStreaming, "MO2B", "full");
  ASSERT_NE(volumes_->Find("MO2B"), nullptr) << "named by medium and side";

  format.medium = "MO1B";
  format.volume_id = "OTHER";
  ASSERT_OK(Format(archive(), format));
  request.source = "OTHER";
  request.target = "MO2A";
  ASSERT_OK_AND_ASSIGN(const JobId id, jobs_->Submit(request));
  ASSERT_OK_AND_ASSIGN(const JobRecord job, jobs_->Wait(id));
  EXPECT_EQ(job.state, JobState::kDone) << job.message;
  {
    ASSERT_OK_AND_ASSIGN(VolumeUse use, volumes_->Use(volumes_->Find("DISC")));
    EXPECT_OK(use->Lookup(use->root(), "a"));
  }
  Close();
  for (const char* image : {"MO1", "MO1.B", "MO2", "MO2.B"}) {
    ExpectCleanImage(image);
  }
}

}  // namespace
}  // namespace vellum
