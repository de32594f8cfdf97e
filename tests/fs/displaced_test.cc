// SPDX-License-Identifier: Apache-2.0
// Volumes whose medium holds something else than the catalog says: images that
// were replaced or swapped while no daemon ran, formats that were broken off.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "copy/clearing.h"
#include "copy/medium_notes.h"
#include "media/fault_medium.h"
#include "tests/fs/service_fixture.h"
#include "tests/support/memory_medium.h"

namespace vellum {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class DisplacedTest : public ServiceFixture {
 protected:
  std::string Image(const std::string& tag) {
    return directory() + "/media/" + tag + ".img";
  }
  void Stop() {
    tree_.reset();
    control_.reset();
    service_.reset();
  }
  void WriteImage(const std::string& tag, char fill) {
    fs::remove(Image(tag));
    std::ofstream image(Image(tag), std::ios::binary);
    if (fill != '\0') image << std::string(kCapacity, fill);
    image.close();
    fs::resize_file(Image(tag), kCapacity);
  }
  // With a file that is called as the volume.
  void MakeVolume(const std::string& medium, const std::string& id) {
    Run("format " + medium + " name=" + id);
    ASSERT_OK_AND_ASSIGN(const VolumeUse use, Use(id));
    ASSERT_OK(use->Create(use->root(), id, NewInode()));
  }
  Result<VolumeUse> Use(const std::string& id) {
    return service_->volumes().Use(service_->volumes().Find(id));
  }
  Status HasItsFile(const std::string& id) {
    ASSIGN_OR_RETURN(const VolumeUse use, Use(id));
    return use->Lookup(use->root(), id).status();
  }
  // The row, or null.
  Json RowOf(const std::string& file, const std::string& key,
             const std::string& value) {
    for (const Json& row : CatJson(file)) {
      if (row[key] == value) return row;
    }
    return Json();
  }
  std::string Alert(const std::string& object) {
    const Json row = RowOf("alerts.json", "object", object);
    return row.is_null() ? "" : row.value("message", "");
  }
  // V00001 holds something else, and nothing else is known of VOL-A.
  void ExpectDisplaced() {
    const Json medium = RowOf("media.json", "medium", "V00001");
    EXPECT_TRUE(medium["volume"].is_null()) << medium;
    const Json former = RowOf("media.json", "medium", "?V00001");
    EXPECT_EQ(former["volume"], "VOL-A");
    EXPECT_EQ(former["state"], "removed");
    EXPECT_THAT(Alert("volume VOL-A"), HasSubstr("V00001"));
    const auto volume = service_->volumes().Find("VOL-A");
    ASSERT_NE(volume, nullptr) << "never forgotten";
    EXPECT_OK(volume->Lookup(volume->root(), "VOL-A"));
  }
};

TEST_F(DisplacedTest, O16_ABlankImageInPlaceOfAVolumeIsTold) {
  MakeVolume("V00001", "VOL-A");
  Stop();
  fs::rename(Image("V00001"), directory() + "/kept");
  WriteImage("V00001", '\0');
  Start();
  for (int i = 0; i < 2; ++i) {
    const auto use = Use("VOL-A");
    EXPECT_THAT(use, HasErrc(Errc::kNoMedium));
    EXPECT_THAT(use, MessageHas("volume VOL-A"));
    EXPECT_THAT(use, MessageHas("medium V00001"));
  }
  ExpectDisplaced();
  EXPECT_THAT(Alert("volume VOL-A"), HasSubstr("is blank"));
  // The image comes back: so does the volume, with what is known of it.
  const VolumeRecord before = service_->volumes().Find("VOL-A")->record();
  Stop();
  fs::rename(directory() + "/kept", Image("V00001"));
  Start();
  Run("inventory all=yes");
  EXPECT_OK(HasItsFile("VOL-A"));
  const VolumeRecord after = service_->volumes().Find("VOL-A")->record();
  EXPECT_EQ(after.medium, "V00001");
  EXPECT_EQ(after.generation.lineage, before.generation.lineage);
  EXPECT_EQ(after.change_floor, before.change_floor);
  EXPECT_EQ(Alert("volume VOL-A"), "");
}

// A use finds a volume where it was, without an inventory.
class ReturnedTest : public DisplacedTest {
 protected:
  void SetUp() override {
    DisplacedTest::SetUp();
    MakeVolume("V00001", "VOL-A");
    Stop();
    fs::rename(Image("V00001"), directory() + "/kept");
    WriteImage("V00001", '\0');
    Start();
    EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
    ExpectDisplaced();
  }
  void PutBack() {
    Stop();
    fs::rename(directory() + "/kept", Image("V00001"));
    Start();
    ExpectDisplaced();  // nobody has looked
  }
  void ExpectBack() {
    EXPECT_EQ(service_->volumes().Find("VOL-A")->record().medium, "V00001");
    EXPECT_EQ(Alert("volume VOL-A"), "");
    EXPECT_EQ(RowOf("media.json", "medium", "V00001")["volume"], "VOL-A");
    EXPECT_TRUE(RowOf("media.json", "medium", "?V00001").is_null());
    EXPECT_EQ(ReadMediumNote(service_->catalog(), "V00001")->found, "volume");
  }
};

TEST_F(ReturnedTest, O16_AUseFindsIt) {
  PutBack();
  EXPECT_OK(HasItsFile("VOL-A"));
  ExpectBack();
  // It is known from now on.
  Stop();
  Start();
  ExpectBack();
  EXPECT_OK(HasItsFile("VOL-A"));
}

TEST_F(ReturnedTest, O16_ACopyFindsIt) {
  EXPECT_THAT(service_->Execute("copy VOL-A to=V00002"),
              HasErrc(Errc::kNoMedium));
  EXPECT_THAT(service_->Execute("copy VOL-A to=V00002"),
              MessageHas("is not on medium V00001 any more"));
  PutBack();
  ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  ExpectBack();
}

// While all drives are busy there is no looking: who asked may give up.
TEST_F(ReturnedTest, O16_WhatLooksForItCanBeStopped) {
  MakeVolume("V00002", "VOL-B");
  PutBack();
  std::vector<LeaseRequest> requests;
  for (const char* medium : {"V00003", "V00004"}) {
    LeaseRequest request;
    request.medium = medium;
    request.mode = LeaseMode::kExclusive;
    request.owner = "somebody";
    requests.push_back(std::move(request));
  }
  ASSERT_OK_AND_ASSIGN(std::vector<MediumLease> drives,
                       service_->library().AcquireAndWait(std::move(requests)));
  for (const std::string command :
       {"copy VOL-A to=V00003", "copy VOL-A VOL-A mode=files to=VOL-B",
        "backup VOL-A to=V00003", "compare VOL-A VOL-B", "compare VOL-B VOL-A",
        "restore VOL-A confirm=yes", "restore VOL-A VOL-A mode=files",
        "restore VOL-B VOL-A mode=files from=VOL-A"}) {
    SCOPED_TRACE(command);
    std::stop_source stop;
    auto answer = std::async(std::launch::async, [&] {
      return service_->Execute(command, stop.get_token());
    });
    const auto volume = service_->volumes().Find("VOL-A");
    while (service_->volumes().parked(*volume) == 0 &&
           answer.wait_for(std::chrono::milliseconds(1)) !=
               std::future_status::ready) {
    }
    stop.request_stop();
    // Or it never ends.
    if (answer.wait_for(std::chrono::seconds(30)) !=
        std::future_status::ready) {
      drives.clear();
    }
    EXPECT_THAT(answer.get(), HasErrc(Errc::kInterrupted));
    ASSERT_FALSE(drives.empty()) << "it cannot be stopped";
  }
  EXPECT_TRUE(service_->jobs().List().empty());
  // It waits for a drive, and then it looks.
  auto answer = std::async(std::launch::async, [&] {
    return service_->Execute("copy VOL-A to=V00003");
  });
  drives.clear();
  ASSERT_OK_AND_ASSIGN(const Json queued, answer.get());
  ASSERT_OK(service_->jobs().Wait(queued["job"]));
  ExpectBack();
}

// None is named: the newest one may be where it was again.
TEST_F(DisplacedTest, O16_ARestoreFindsTheNewestBackup) {
  MakeVolume("V00001", "VOL-A");
  MakeVolume("V00003", "OTHER");
  ASSERT_OK(service_->jobs().Wait(Run("copy VOL-A to=V00002")["job"]));
  for (const std::string command :
       {"restore VOL-A VOL-A mode=files confirm=yes",
        "restore VOL-A VOL-A mode=files to=OTHER:/saved",
        "restore VOL-A confirm=yes"}) {
    SCOPED_TRACE(command);
    Stop();
    fs::rename(Image("V00002"), directory() + "/kept");
    WriteImage("V00002", '\0');
    Start();
    EXPECT_THAT(Use("V00002"), HasErrc(Errc::kNoMedium));
    Stop();
    fs::rename(directory() + "/kept", Image("V00002"));
    Start();
    ASSERT_EQ(service_->volumes().Find("V00002")->record().medium, "?V00002");
    ASSERT_OK_AND_ASSIGN(const Json queued, service_->Execute(command));
    ASSERT_OK_AND_ASSIGN(const JobRecord job,
                         service_->jobs().Wait(queued["job"]));
    EXPECT_EQ(job.state, JobState::kDone) << job.message;
    EXPECT_EQ(job.request.target, "V00002");
    EXPECT_EQ(service_->volumes().Find("V00002")->record().medium, "V00002");
  }
}

TEST_F(ReturnedTest, O16_AnInventoryOfWhatIsNotKnownFindsIt) {
  PutBack();
  Run("inventory");
  ExpectBack();
}

// A use does not look where another volume is known to be.
TEST_F(ReturnedTest, O16_AnInventoryOfAllFindsItWhereAnotherOneWasTakenIn) {
  MakeVolume("V00002", "VOL-B");
  Stop();
  fs::rename(Image("V00002"), Image("V00001"));
  WriteImage("V00002", '\0');
  Start();
  Run("inventory");
  EXPECT_EQ(service_->volumes().Find("VOL-B")->record().medium, "V00001");
  Stop();
  fs::rename(Image("V00001"), Image("V00002"));
  fs::rename(directory() + "/kept", Image("V00001"));
  Start();
  EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
  Run("inventory all=yes");
  ExpectBack();
  EXPECT_OK(HasItsFile("VOL-A"));
  EXPECT_OK(HasItsFile("VOL-B"));
}

TEST_F(ReturnedTest, O16_ItIsNotTakenForWhatWasWrittenThereSince) {
  Run("format V00001 name=OTHER");
  EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
  EXPECT_OK(Use("OTHER"));
  EXPECT_EQ(service_->volumes().Find("VOL-A")->record().medium, "?V00001");
}

// Who only looks does not wait for the end of a copy onto that medium.
TEST_F(ReturnedTest, O16_AMediumThatSomebodyHasAloneIsNotWaitedFor) {
  std::vector<LeaseRequest> requests(1);
  requests.front().medium = "V00001";
  requests.front().mode = LeaseMode::kExclusive;
  const auto lease = service_->library().AcquireAndWait(std::move(requests));
  ASSERT_OK(lease);
  EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
}

TEST_F(DisplacedTest, O16_AForeignImageInPlaceOfAVolumeIsToldByTheInventory) {
  MakeVolume("V00001", "VOL-A");
  Stop();
  WriteImage("V00001", 'x');
  Start();
  Run("inventory all=yes");
  ExpectDisplaced();
  EXPECT_EQ(RowOf("media.json", "medium", "V00001")["volume_state"], "FOREIGN");
  EXPECT_EQ(RowOf("copies.json", "medium", "V00001")["label"], "FOREIGN");
  EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
  // It stays known until somebody says that it shall not.
  Stop();
  Start();
  ExpectDisplaced();
  const Result<Json> refused = service_->Execute("format V00001 name=VOL-A");
  EXPECT_THAT(refused, HasErrc(Errc::kExists));
  EXPECT_THAT(service_->Execute("format V00002 name=VOL-A clear=yes"),
              HasErrc(Errc::kExists));
  Run("format V00001 name=VOL-A clear=yes");
  EXPECT_EQ(Alert("volume VOL-A"), "");
  ASSERT_OK_AND_ASSIGN(const VolumeUse use, Use("VOL-A"));
  EXPECT_THAT(use->Lookup(use->root(), "VOL-A"), HasErrc(Errc::kNotFound));
}

TEST_F(DisplacedTest, O16_ADirectoryInPlaceOfAnImageIsADeviceError) {
  MakeVolume("V00001", "VOL-A");
  Stop();
  fs::remove(Image("V00001"));
  fs::create_directory(Image("V00001"));
  Start();
  const auto use = Use("VOL-A");
  EXPECT_THAT(use, HasErrc(Errc::kDeviceError));
  EXPECT_THAT(use, MessageHas(Image("V00001")));
  EXPECT_THAT(*Cat("alerts"), HasSubstr("not a regular file"));
}

TEST_F(DisplacedTest, O11_SwappedImagesAreKnownByWhatIsReadOnThem) {
  MakeVolume("V00001", "VOL-A");
  MakeVolume("V00002", "VOL-B");
  MakeVolume("V00003", "VOL-C");
  Stop();
  // A circle of three.
  fs::rename(Image("V00001"), directory() + "/kept");
  fs::rename(Image("V00002"), Image("V00001"));
  fs::rename(Image("V00003"), Image("V00002"));
  fs::rename(directory() + "/kept", Image("V00003"));
  Start();
  EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
  ExpectDisplaced();
  // The one that was noticed is the only one whose content is not known: the
  // others are read because of it.
  Run("inventory");
  for (const char* id : {"VOL-A", "VOL-B", "VOL-C"}) {
    EXPECT_OK(HasItsFile(id));
    EXPECT_EQ(Alert(std::string("volume ") + id), "");
  }
  EXPECT_EQ(service_->volumes().Find("VOL-A")->record().medium, "V00003");
  EXPECT_EQ(service_->volumes().Find("VOL-B")->record().medium, "V00001");
  for (const char* medium : {"V00001", "V00002", "V00003"}) {
    EXPECT_EQ(Alert(std::string("medium ") + medium), "");
    EXPECT_TRUE(RowOf("media.json", "medium", medium)["volume_state"] !=
                "DUPLICATE");
  }
}

TEST_F(DisplacedTest, O11_TheInventoryResolvesASwapOfTwo) {
  for (const char* command : {"inventory all=yes", "reindex mode=reset"}) {
    if (service_->volumes().List().empty()) {
      MakeVolume("V00001", "VOL-A");
      MakeVolume("V00002", "VOL-B");
    }
    Stop();
    fs::rename(Image("V00001"), directory() + "/kept");
    fs::rename(Image("V00002"), Image("V00001"));
    fs::rename(directory() + "/kept", Image("V00002"));
    Start();
    for (const Json& row : Run(command)) {
      EXPECT_THAT(row.value("found", ""),
                  testing::AnyOf("VOL-A", "VOL-B", "blank"));
    }
    EXPECT_OK(HasItsFile("VOL-A"));
    EXPECT_OK(HasItsFile("VOL-B"));
  }
}

TEST_F(DisplacedTest, O11_ADuplicateInPlaceOfAVolumeIsAnAlertThatNamesBoth) {
  MakeVolume("V00001", "VOL-A");
  MakeVolume("V00002", "VOL-B");
  Stop();
  fs::copy_file(Image("V00002"), Image("V00001"),
                fs::copy_options::overwrite_existing);
  Start();
  Run("inventory all=yes");
  ExpectDisplaced();
  EXPECT_THAT(Alert("medium V00001"),
              HasSubstr("media V00002 and V00001 both carry a volume VOL-B"));
  EXPECT_EQ(RowOf("media.json", "medium", "V00001")["volume_state"],
            "DUPLICATE");
  EXPECT_EQ(RowOf("copies.json", "medium", "V00001")["label"], "DUPLICATE");
  EXPECT_OK(HasItsFile("VOL-B"));
}

// What a daemon leaves that is killed during `format V00001 name=NEW clear=yes`
// before and after it touched the medium.
class BrokenFormatTest : public DisplacedTest {
 protected:
  void SetUp() override {
    DisplacedTest::SetUp();
    MakeVolume("V00001", "VOL-A");
    const auto volume = service_->volumes().Find("VOL-A");
    ASSERT_OK_AND_ASSIGN(const Volumes::Exclusion exclusion,
                         service_->volumes().Exclude(volume));
    ASSERT_OK(BeginClearing(service_->archive(), volume));
  }
};

TEST_F(BrokenFormatTest, I15_TheVolumeIsNotPromisedAnyMore) {
  Stop();
  WriteImage("V00001", '\0');
  Start();
  ExpectDisplaced();
  EXPECT_THAT(Alert("volume VOL-A"), HasSubstr("broken off"));
  EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
  Run("inventory");
  EXPECT_EQ(service_->volumes().Find("VOL-A"), nullptr) << "it was to go";
  EXPECT_EQ(Alert("volume VOL-A"), "");
}

TEST_F(BrokenFormatTest, I15_AnUntouchedVolumeIsBackAfterAnInventory) {
  Stop();
  Start();
  ExpectDisplaced();
  Run("inventory");
  EXPECT_OK(HasItsFile("VOL-A"));
  EXPECT_EQ(Alert("volume VOL-A"), "");
}

TEST_F(BrokenFormatTest, I15_AnUntouchedVolumeIsBackWithItsNextUse) {
  Stop();
  Start();
  EXPECT_OK(HasItsFile("VOL-A"));
  // Then the format is over: what becomes of the medium later is another
  // matter.
  Stop();
  WriteImage("V00001", '\0');
  Start();
  EXPECT_THAT(Use("VOL-A"), HasErrc(Errc::kNoMedium));
  Run("inventory");
  ExpectDisplaced();
}

// A use that waits for the medium, to look at it, is in nobody's way.
TEST_F(BrokenFormatTest, I15_WhatWaitsForALookIsToldThatTheVolumeIsGone) {
  std::vector<LeaseRequest> requests(2);
  requests[0].medium = "V00002";
  requests[1].medium = "V00003";
  auto leases = service_->library().AcquireAndWait(std::move(requests));
  ASSERT_OK(leases);  // all drives
  std::promise<Status> told;
  std::future<Status> answer = told.get_future();
  service_->volumes().With(
      service_->volumes().Find("VOL-A"),
      [&](Result<VolumeUse> use) { told.set_value(use.status()); });
  while (service_->library().WaitingRequests() == 0) {
    ASSERT_EQ(answer.wait_for(std::chrono::milliseconds(1)),
              std::future_status::timeout)
        << "it does not wait";
  }
  EXPECT_OK(EndClearing(service_->archive(), "V00001",
                        leases->front().medium()));  // blank
  EXPECT_THAT(answer.get(), HasErrc(Errc::kNotFound));
  EXPECT_EQ(service_->volumes().Find("VOL-A"), nullptr);
}

TEST_F(BrokenFormatTest, I15_AForeignMediumHasLostIt) {
  Stop();
  WriteImage("V00001", 'x');
  Start();
  Run("inventory");
  EXPECT_EQ(service_->volumes().Find("VOL-A"), nullptr);
}

// A drive that died, or a medium that was pulled out, tells nothing of what the
// format has done.
TEST_F(BrokenFormatTest, I15_WhatCannotBeReadIsNotForgotten) {
  for (const Errc code : {Errc::kNoMedium, Errc::kOffline, Errc::kTimedOut,
                          Errc::kNotReady, Errc::kAborted}) {
    SCOPED_TRACE(ErrcName(code));
    const auto plan = std::make_shared<FaultPlan>();
    const uint64_t sectors = kCapacity / kSectorSize;
    plan->FailRange(FaultPlan::Op::kRead, {0, sectors}, code);
    FaultMedium medium(std::make_unique<MemoryMedium>(sectors), plan);
    EXPECT_THAT(EndClearing(service_->archive(), "V00001", medium),
                HasErrc(code));
    ExpectDisplaced();
    EXPECT_EQ(ReadMediumNote(service_->catalog(), "V00001")->clearing, "VOL-A");
  }
  Run("inventory");
  EXPECT_OK(HasItsFile("VOL-A"));
  EXPECT_EQ(Alert("volume VOL-A"), "");
}

TEST_F(BrokenFormatTest, I15_TheFormatCanBeRepeated) {
  Stop();
  Start();
  Run("format V00001 name=NEW clear=yes");
  EXPECT_EQ(service_->volumes().Find("VOL-A"), nullptr);
  EXPECT_OK(Use("NEW"));
}

TEST_F(DisplacedTest, I15_AFormatThatTouchesNothingLeavesTheVolume) {
  MakeVolume("V00001", "VOL-A");
  Stop();
  fs::permissions(Image("V00001"), fs::perms::owner_read);
  Start();
  EXPECT_THAT(service_->Execute("format V00001 name=NEW clear=yes"),
              HasErrc(Errc::kWriteProtected));
  EXPECT_EQ(Alert("volume VOL-A").find("V00001 is blank"), std::string::npos);
  EXPECT_OK(HasItsFile("VOL-A"));
}

}  // namespace
}  // namespace vellum
