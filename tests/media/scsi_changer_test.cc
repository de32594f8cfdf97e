// SPDX-License-Identifier: Apache-2.0
// What a changer tells: its elements, what it can do, that something changed.
#include "media/scsi/scsi_changer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "media/cleaning_medium.h"
#include "media/element_book.h"
#include "tests/media/scsi_changer_fixture.h"
#include "tests/support/swapped_transport.h"

namespace vellum::scsi {
namespace {

using testing::ElementsAre;
using testing::Not;
using AllTypes = FakeScsiChangerOptions::AllTypes;

constexpr uint8_t kReadStatus = 0xB8;

TEST_F(ScsiChangerTest, TellsWhatItIs) {
  Open();
  ASSERT_OK_AND_ASSIGN(const ChangerIdentity identity, changer_->Identify());
  EXPECT_EQ(identity.vendor, "VELLUM");
  EXPECT_EQ(identity.product, "FAKE CHANGER");
  EXPECT_EQ(identity.revision, "0001");
  EXPECT_EQ(identity.serial, "JB0001");
  EXPECT_EQ(identity.device, "/dev/fake");
}

TEST_F(ScsiChangerTest, OpensNothingButAChanger) {
  ScsiScript disk("/dev/sg1");
  std::vector<uint8_t> inquiry(36, ' ');
  inquiry[0] = 0;
  inquiry[4] = 31;
  disk.Then(0x12, Data(inquiry)).Then(0x12, Check(5, 0x24, 0x00));
  const auto changer = ScsiChanger::Open(disk.Open(), Fast());
  EXPECT_THAT(changer, HasErrc(Errc::kInvalidArgument));
  EXPECT_THAT(changer, MessageHas("/dev/sg1"));
}

TEST_F(ScsiChangerTest, ReadsTypeByType) {
  Open();
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 V00001L1", "1026 V00002L1"));
  std::vector<int> types;
  for (const SentCommand& sent : script().Log()) {
    if (sent.cdb[0] == kReadStatus) types.push_back(sent.cdb[1] & 0x0F);
  }
  // Never all at once: that breaks the target that most tests run on.
  EXPECT_THAT(types, ElementsAre(1, 2, 3, 4));
}

TEST_F(ScsiChangerTest, ReadsAllTypesAtOnceWhereTypesAreRefused) {
  for (const int refused : {3, 15}) {
    FakeScsiChangerOptions options;
    options.refused_type = refused;
    Open(options);
    EXPECT_THAT(Full(changer_->ReadElementStatus()),
                ElementsAre("1024 V00001L1", "1026 V00002L1"));
    EXPECT_FALSE(changer_->reads_by_type());
    const size_t before = script().Count(kReadStatus);
    EXPECT_THAT(Full(changer_->ReadElementStatus()),
                ElementsAre("1024 V00001L1", "1026 V00002L1"));
    EXPECT_EQ(script().Count(kReadStatus), before + 1);
    Connect();  // one that has not learned it
    EXPECT_OK(changer_->MoveMedium(A(1024), A(768)));
    EXPECT_THAT(changer_->MoveMedium(A(1024), A(768)),
                MessageHas("768 holds V00001L1"));
    ASSERT_OK_AND_ASSIGN(const auto drives, changer_->DriveElements());
    EXPECT_EQ(drives.size(), 2u);
    EXPECT_EQ(drives[0].identifier.has_value(), refused == 3);
  }
}

TEST_F(ScsiChangerTest, ATypeThatIsRefusedBothWaysIsNotReported) {
  for (const AllTypes all_types : {AllTypes::kRefused, AllTypes::kShort}) {
    FakeScsiChangerOptions options;
    options.refused_type = 3;
    options.all_types = all_types;
    Open(options);
    EXPECT_THAT(Full(changer_->ReadElementStatus()),
                ElementsAre("1024 V00001L1", "1026 V00002L1",
                            "768 - inaccessible: not reported by the changer"));
    options.refused_type = 15;
    Open(options);
    EXPECT_THAT(changer_->ReadElementStatus(), HasErrc(Errc::kNotSupported));
  }
}

// However a changer answers, the same elements come out.
TEST_F(ScsiChangerTest, EveryMakeGivesTheSameElements) {
  FakeScsiChangerOptions refused;
  refused.refused_type = 15;
  FakeScsiChangerOptions tgt;
  tgt.all_types = AllTypes::kShort;
  tgt.cut = 8;
  tgt.access_bits = false;
  tgt.exchange = tgt.turns = false;
  FakeScsiChangerOptions few;
  few.most_elements = 3;
  FakeScsiChangerOptions no_page;
  no_page.address_page = false;
  FakeScsiChangerOptions no_page_refused = refused;
  no_page_refused.address_page = false;
  FakeScsiChangerOptions ten;
  ten.mode_sense_6 = false;
  for (const auto& options :
       {refused, tgt, few, no_page, no_page_refused, ten}) {
    Open(options);
    ASSERT_OK_AND_ASSIGN(const ElementMap map, changer_->Elements());
    EXPECT_EQ(map.storage.first, A(1024));
    EXPECT_EQ(map.storage.count, 8);
    EXPECT_EQ(map.data_transfer.first, A(256));
    EXPECT_EQ(map.data_transfer.count, 2);
    EXPECT_EQ(map.import_export.count, 1);
    EXPECT_EQ(map.transport.first, A(1));
    ASSERT_OK_AND_ASSIGN(const auto statuses, changer_->ReadElementStatus());
    EXPECT_EQ(statuses.size(), 12u);
    EXPECT_THAT(Full(statuses), ElementsAre("1024 V00001L1", "1026 V00002L1"));
    EXPECT_TRUE(std::all_of(statuses.begin(), statuses.end(),
                            [](const auto& s) { return s.accessible; }));
  }
}

TEST_F(ScsiChangerTest, LearnsWhatIsRefusedAndAsksForItOnce) {
  FakeScsiChangerOptions options;
  options.volume_tags = false;
  options.identifiers = false;
  Open(options);
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 -", "1026 -"));
  const size_t before = script().Count(kReadStatus);
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 -", "1026 -"));
  EXPECT_EQ(script().Count(kReadStatus), before + 4);
  EXPECT_FALSE(changer_->has_volume_tags());
  ASSERT_OK_AND_ASSIGN(const auto drives, changer_->DriveElements());
  ASSERT_EQ(drives.size(), 2u);
  EXPECT_FALSE(drives[0].identifier);
  EXPECT_FALSE(changer_->has_identifiers());
}

TEST_F(ScsiChangerTest, TagsAreKeptWhereOnlyIdentifiersAreRefused) {
  FakeScsiChangerOptions options;
  options.identifiers = false;
  Open(options);
  ASSERT_OK(changer_->DriveElements());
  EXPECT_TRUE(changer_->has_volume_tags());
  EXPECT_FALSE(changer_->has_identifiers());
  options.identifiers = true;
  options.volume_tags = false;
  Open(options);
  ASSERT_OK_AND_ASSIGN(const auto drives, changer_->DriveElements());
  EXPECT_TRUE(drives[0].identifier);
  EXPECT_FALSE(changer_->has_volume_tags());
  EXPECT_TRUE(changer_->has_identifiers());
}

TEST_F(ScsiChangerTest, MoreElementsThanOneTransferHolds) {
  FakeScsiChangerOptions options;
  options.map.storage = {{1024}, 300};
  Open(options);
  script().MaxTransfer(8 + 8 + 18 * 52 + 16);
  // Full ones, so that one is cut by the end of each transfer.
  std::vector<std::string> expected;
  for (int slot = 1024; slot < 1324; ++slot) {
    const std::string tag = fmt::format("V{}", slot);
    if (fake_->At(A(slot).value)) fake_->Take(A(slot).value);
    fake_->Put(A(slot).value, tag);
    expected.push_back(fmt::format("{} {}", slot, tag));
  }
  EXPECT_EQ(Full(changer_->ReadElementStatus()), expected);
  for (const SentCommand& sent : script().Log()) {
    EXPECT_LE(sent.in_size, 968u);
  }
}

TEST_F(ScsiChangerTest, AnAnswerThatIsLongerThanExpectedIsAskedForAgain) {
  FakeScsiChangerOptions options;
  options.ignores_count = true;
  options.map.storage = {{1024}, 100};
  Open(options);
  // For its tag, the first slot alone: this one answers with all of them.
  EXPECT_THAT(changer_->MoveMedium(A(1024), A(1024)), MessageHas("V00001L1"));
  std::vector<size_t> lengths;
  for (const SentCommand& sent : script().Log()) {
    if (sent.cdb[0] == kReadStatus) lengths.push_back(sent.in_size);
  }
  ASSERT_GE(lengths.size(), 2u);
  EXPECT_LT(lengths[0], 1000u);
  EXPECT_EQ(lengths[1], 8u + 8 + 100 * 52);
}

TEST_F(ScsiChangerTest, AnElementThatIsNotReportedIsInaccessible) {
  Open();
  fake_->Hide(1031);
  fake_->Hide(256);
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 V00001L1", "1026 V00002L1",
                          "1031 - inaccessible: not reported by the changer",
                          "256 - inaccessible: not reported by the changer"));
}

TEST_F(ScsiChangerTest, ExceptionsSayTheirReason) {
  Open();
  fake_->SetException(1026, 0x3B, 0x12);
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 V00001L1",
                          "1026 V00002L1: exception 3B/12 (magazine removed)"));
}

TEST_F(ScsiChangerTest, AMediumThatAnOperatorPutInIsImported) {
  Open();
  fake_->Put(768, "V00009L1");
  EXPECT_THAT(
      Full(changer_->ReadElementStatus()),
      ElementsAre("1024 V00001L1", "1026 V00002L1", "768 V00009L1 imported"));
  ASSERT_OK(changer_->MoveMedium(A(768), A(1025)));
  ASSERT_OK(changer_->MoveMedium(A(1025), A(768)));
  EXPECT_THAT(
      Full(changer_->ReadElementStatus()),
      ElementsAre("1024 V00001L1", "1026 V00002L1", "768 V00009L1 from 1025"));
}

TEST_F(ScsiChangerTest, AChangerThatTakesStockIsWaitedFor) {
  Open();
  fake_->TakeStock(4);  // only the wait for ready ends it
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 V00001L1", "1026 V00002L1"));
}

TEST_F(ScsiChangerTest, AChangerThatNeverGetsReadyFailsInTime) {
  Open();
  script().Always(0x00, Check(2, 0x04, 0x01));
  script().Always(kReadStatus, Check(2, 0x04, 0x01));
  EXPECT_THAT(changer_->ReadElementStatus(), HasErrc(Errc::kTimedOut));
  EXPECT_THAT(ScsiChanger::Open(fake_->Open(), Fast()),
              HasErrc(Errc::kTimedOut));
}

TEST_F(ScsiChangerTest, AChangerWithItsDoorOpenStillTellsItsElements) {
  Open();
  script().Always(0x00, Check(2, 0x04, 0x03));
  Connect();
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 V00001L1", "1026 V00002L1"));
}

TEST_F(ScsiChangerTest, ADeviceThatIsGoneFailsEverything) {
  Open();
  script().AllFail(IsGone());
  EXPECT_THAT(changer_->ReadElementStatus(), HasErrc(Errc::kOffline));
  EXPECT_THAT(changer_->Elements(), HasErrc(Errc::kOffline));
  EXPECT_THAT(changer_->Identify(), HasErrc(Errc::kOffline));
  EXPECT_THAT(changer_->Capabilities(), HasErrc(Errc::kOffline));
  EXPECT_THAT(changer_->MoveMedium(A(1024), A(256)), HasErrc(Errc::kOffline));
  EXPECT_THAT(changer_->InitializeElementStatus(), HasErrc(Errc::kOffline));
}

// Attentions that say that others may have changed something.
TEST_F(ScsiChangerTest, AttentionsMeanThatElementsAreReadAgain) {
  for (const auto& [asc, ascq] : std::vector<std::pair<uint8_t, uint8_t>>{
           {0x28, 0x00}, {0x28, 0x01}, {0x29, 0x00}, {0x3F, 0x0E}}) {
    Open();
    EXPECT_OK(changer_->ReadElementStatus());
    ASSERT_OK_AND_ASSIGN(bool changed, changer_->ElementsChanged());
    EXPECT_FALSE(changed);
    script().Interrupt(Check(6, asc, ascq));
    ASSERT_OK_AND_ASSIGN(changed, changer_->ElementsChanged());
    EXPECT_TRUE(changed) << int{asc};
    ASSERT_OK_AND_ASSIGN(changed, changer_->ElementsChanged());
    EXPECT_TRUE(changed) << "until they were read";
    EXPECT_OK(changer_->ReadElementStatus());
    ASSERT_OK_AND_ASSIGN(changed, changer_->ElementsChanged());
    EXPECT_FALSE(changed);
    // Any other command may be the one that hears of it.
    script().Interrupt(Check(6, asc, ascq));
    EXPECT_OK(changer_->MoveMedium(A(1024), A(256)));
    ASSERT_OK_AND_ASSIGN(changed, changer_->ElementsChanged());
    EXPECT_TRUE(changed) << int{asc};
  }
  // Parameters changed: nothing that concerns us.
  EXPECT_OK(changer_->ReadElementStatus());
  script().Interrupt(Check(6, 0x2A, 0x01));
  ASSERT_OK_AND_ASSIGN(const bool changed, changer_->ElementsChanged());
  EXPECT_FALSE(changed);
}

TEST_F(ScsiChangerTest, WhatWasReadBeforeAChangeIsReadAgain) {
  Open();
  EXPECT_OK(changer_->ReadElementStatus());
  const size_t once = script().Count(kReadStatus);
  script().Interrupt([&](const Command& command) {
    fake_->Take(1026);
    return Check(6, 0x28, 0x01)(command);
  });
  EXPECT_THAT(Full(changer_->ReadElementStatus()),
              ElementsAre("1024 V00001L1"));
  EXPECT_EQ(script().Count(kReadStatus), 3 * once);
}

TEST_F(ScsiChangerTest, ADoorThatIsOpenIsNoChange) {
  Open();
  EXPECT_OK(changer_->ReadElementStatus());
  fake_->TakeStock(2);
  ASSERT_OK_AND_ASSIGN(const bool changed, changer_->ElementsChanged());
  EXPECT_FALSE(changed);
}

TEST_F(ScsiChangerTest, AChangerThatIsBackIsFoundAndNoOther) {
  Open();
  FakeScsiChanger same;
  same.Put(1025, "V00003L1");
  const auto next = std::make_shared<std::unique_ptr<scsi::Transport>>();
  ASSERT_OK_AND_ASSIGN(
      const auto changer,
      ScsiChanger::Open(std::make_unique<SwappedTransport>(fake_->Open(), next),
                        Fast()));
  script().AllFail(IsGone());
  EXPECT_THAT(changer->ReadElementStatus(), HasErrc(Errc::kOffline));
  EXPECT_THAT(changer->ElementsChanged(), HasErrc(Errc::kOffline));
  ScsiScript other("/dev/other");
  std::vector<uint8_t> inquiry(36, ' ');
  inquiry[0] = 8;
  inquiry[4] = 31;
  other.Then(0x12, Data(inquiry)).Then(0x12, Check(5, 0x24, 0x00));
  other.AllFail({});
  *next = other.Open();
  EXPECT_THAT(changer->ElementsChanged(), HasErrc(Errc::kOffline));
  other.AllFail(IsGone());
  *next = same.Open();
  ASSERT_OK_AND_ASSIGN(const bool changed, changer->ElementsChanged());
  EXPECT_TRUE(changed);
  EXPECT_THAT(Full(changer->ReadElementStatus()), ElementsAre("1025 V00003L1"));
}

TEST_F(ScsiChangerTest, CleaningMediaAreToldByTypeOrTag) {
  Open();
  fake_->Put(1025, "CLNU01L1");
  fake_->SetType(1026, 2);
  ASSERT_OK_AND_ASSIGN(const auto statuses, changer_->ReadElementStatus());
  std::vector<int> cleaning;
  for (const ElementStatus& status : statuses) {
    if (IsCleaningMedium(status)) cleaning.push_back(status.address.value);
  }
  EXPECT_THAT(cleaning, ElementsAre(1025, 1026));
  ASSERT_OK_AND_ASSIGN(const ElementMap map, changer_->Elements());
  ElementBook book;
  book.Rebuild(map, statuses);
  EXPECT_EQ(book.Find("V00001L1")->problem, "");
  EXPECT_EQ(book.Find("CLNU01L1")->problem, kCleaningMedium);
  EXPECT_EQ(book.Find("V00002L1")->problem, kCleaningMedium);
}

TEST_F(ScsiChangerTest, TellsWhatItCanDo) {
  Open();
  ASSERT_OK_AND_ASSIGN(ChangerCapabilities can, changer_->Capabilities());
  EXPECT_TRUE(can.known);
  EXPECT_TRUE(can.turns);
  EXPECT_TRUE(can.stores[2]);
  EXPECT_TRUE(can.moves[2][4]);
  EXPECT_TRUE(can.exchanges[2][4]);
  EXPECT_FALSE(can.exchanges[2][1]);
  EXPECT_FALSE(can.exchanges[4][2]);
  script().Always(0x1A, Check(5, 0x24, 0x00));
  script().Always(0x5A, Check(5, 0x24, 0x00));
  ASSERT_OK_AND_ASSIGN(can, changer_->Capabilities());
  EXPECT_FALSE(can.known);
}

TEST_F(ScsiChangerTest, TellsWhichDriveIsWhich) {
  Open();
  ASSERT_OK(changer_->MoveMedium(A(1024), A(257)));
  ASSERT_OK_AND_ASSIGN(const auto drives, changer_->DriveElements());
  ASSERT_EQ(drives.size(), 2u);
  EXPECT_EQ(drives[1].address, A(257));
  EXPECT_FALSE(drives[0].full);
  EXPECT_TRUE(drives[1].full);
  ASSERT_TRUE(drives[1].identifier);
  EXPECT_EQ(drives[1].identifier->vendor, "VELLUM");
  EXPECT_EQ(drives[1].identifier->product, "FAKE DRIVE");
  EXPECT_EQ(drives[1].identifier->serial, "DRV257");
}

TEST(ScsiDriveIdentifierTest, MatchesTheSerialNumberOfADrive) {
  Inquiry drive;
  drive.vendor = "VELLUM";
  drive.product = "DRIVE";
  drive.serial = "DRIVE0000";
  ElementIdentifier id;
  id.vendor = "VELLUM";
  id.product = "DRIVE";
  id.serial = "DRIVE0000";
  EXPECT_TRUE(Identifies(id, drive));
  id.serial = "DRIVE0001";
  EXPECT_FALSE(Identifies(id, drive));
  id = {};
  id.serial = id.text = "DRIVE0000";
  EXPECT_TRUE(Identifies(id, drive));
  id.serial = id.text = "VELLUM  DRIVE           DRIVE0000";
  EXPECT_TRUE(Identifies(id, drive));
  id.serial = id.text = "VELLUM  DRIVE           DR";
  EXPECT_FALSE(Identifies(id, drive));
  drive.serial = "";
  id = {};
  EXPECT_FALSE(Identifies(id, drive));
}

TEST(ModePageTest, FindsAPageInBothForms) {
  const std::vector<uint8_t> six = {9,    1, 0x80, 2, 0xAA, 0xBB,
                                    0x1F, 0, 0x9D, 1, 7};
  ASSERT_OK_AND_ASSIGN(ModePage page, FindModePage(six, false, 0x1D));
  EXPECT_THAT(page.page, ElementsAre(0x9D, 1));  // the length ends it
  EXPECT_EQ(page.medium_type, 1);
  EXPECT_EQ(page.device_specific, 0x80);
  const std::vector<uint8_t> ten = {0, 9, 3, 0x90, 0, 0, 0, 0, 0x1D, 1, 7};
  ASSERT_OK_AND_ASSIGN(page, FindModePage(ten, true, 0x1D));
  EXPECT_THAT(page.page, ElementsAre(0x1D, 1, 7));
  EXPECT_EQ(page.medium_type, 3);
  EXPECT_EQ(page.device_specific, 0x90);
}

TEST(ModePageTest, ShortAnswersAreNotSupportedNotRead) {
  const std::vector<uint8_t> data = {0xFF, 0, 0, 0xFF, 0x1D};
  for (size_t size = 0; size <= data.size(); ++size) {
    for (const bool ten : {false, true}) {
      const std::vector<uint8_t> cut(data.begin(), data.begin() + size);
      EXPECT_THAT(FindModePage(cut, ten, 0x1D), HasErrc(Errc::kNotSupported));
    }
  }
  EXPECT_THAT(ParseElementAddressPage(std::vector<uint8_t>(17)),
              HasErrc(Errc::kDeviceError));
  EXPECT_FALSE(ParseCapabilitiesPage({}).known);
  EXPECT_FALSE(ParseCapabilitiesPage(std::vector<uint8_t>(5)).moves[2][4]);
}

}  // namespace
}  // namespace vellum::scsi
