// SPDX-License-Identifier: Apache-2.0
// What a changer does: moves, exchanges, turning over, looking at its elements,
// its door.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/media/scsi_changer_fixture.h"

namespace vellum::scsi {
namespace {

using testing::ElementsAre;
using testing::Not;

TEST_F(ScsiChangerTest, MovesWithTheRobotOfTheMap) {
  Open();
  ASSERT_OK(changer_->MoveMedium(A(1024), A(257)));
  EXPECT_THAT(LastMove(),
              ElementsAre(kMoveMedium, 0, 0, 1, 4, 0, 1, 1, 0, 0, 0, 0));
  EXPECT_EQ(fake_->At(257), "V00001L1");
  EXPECT_FALSE(fake_->At(1024));
  for (const SentCommand& sent : script().Log()) {
    if (sent.cdb[0] == kMoveMedium) {
      EXPECT_GE(sent.timeout, std::chrono::minutes(5));
    }
  }
}

TEST_F(ScsiChangerTest, ARobotPutsDownWhatItHolds) {
  FakeScsiChangerOptions options;
  options.map.transport.count = 2;
  Open(options);
  fake_->Put(2, "V00003L1");
  ASSERT_OK(changer_->MoveMedium(A(2), A(1025)));
  EXPECT_THAT(LastMove(),
              ElementsAre(kMoveMedium, 0, 0, 2, 0, 2, 4, 1, 0, 0, 0, 0));
  EXPECT_EQ(fake_->At(1025), "V00003L1");
}

TEST_F(ScsiChangerTest, AFailedMoveNamesTagElementsSenseAndWhatIsThereNow) {
  Open();
  const Status full = changer_->MoveMedium(A(1024), A(1026));
  EXPECT_THAT(full, HasErrc(Errc::kExists));
  EXPECT_THAT(full, MessageHas("/dev/fake: move V00001L1 from 1024 to 1026: "
                               "sense 5/3B/0D"));
  EXPECT_THAT(full, MessageHas("now 1024 holds V00001L1, 1026 holds V00002L1"));
  const Status empty = changer_->MoveMedium(A(1025), A(1027));
  EXPECT_THAT(empty, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(empty, MessageHas("now 1025 is empty, 1027 is empty"));
  const Status unknown = changer_->MoveMedium(A(1024), A(2000));
  EXPECT_THAT(unknown, HasErrc(Errc::kNotFound));
  EXPECT_THAT(unknown, MessageHas("no element 2000"));
  EXPECT_THAT(changer_->MoveMedium(A(1024), A(1024)), HasErrc(Errc::kExists));
  EXPECT_THAT(changer_->MoveMedium(A(1025), A(1025)), HasErrc(Errc::kNoMedium));
}

TEST_F(ScsiChangerTest, TheSenseOfAMoveHasItsCode) {
  Open();
  const struct {
    ScsiHandler handler;
    Errc code;
  } kCases[] = {{Check(4, 0x15, 0x01), Errc::kNoMedium},
                {Check(5, 0x53, 0x02), Errc::kBusy},
                {Check(4, 0x53, 0x00), Errc::kDeviceError},
                {Check(2, 0x04, 0x03), Errc::kNotReady},
                {TimesOut(), Errc::kTimedOut},
                {IsGone(), Errc::kOffline},
                {TransportFails(), Errc::kDeviceError}};
  for (const auto& entry : kCases) {
    const size_t before = script().Count(kMoveMedium);
    script().Then(kMoveMedium, entry.handler);
    const Status status = changer_->MoveMedium(A(1024), A(256));
    EXPECT_THAT(status, HasErrc(entry.code));
    EXPECT_THAT(status, MessageHas("now 1024 holds V00001L1, 256 is empty"));
    EXPECT_EQ(script().Count(kMoveMedium), before + 1) << status.ToString();
  }
}

// The robot did it, and the answer got lost.
TEST_F(ScsiChangerTest, AMoveWithoutAnswerIsReadAgainNotAssumed) {
  Open();
  script().Then(kMoveMedium, [&](const Command& command) {
    fake_->Take(1024);
    fake_->Put(256, "V00001L1");
    return TimesOut()(command);
  });
  const Status status = changer_->MoveMedium(A(1024), A(256));
  EXPECT_THAT(status, HasErrc(Errc::kTimedOut));
  EXPECT_THAT(status, MessageHas("now 1024 is empty, 256 holds V00001L1"));
  EXPECT_EQ(script().Count(kMoveMedium), 1u);
}

TEST_F(ScsiChangerTest, AStatusThatCannotBeReadAfterAFailureIsSaid) {
  Open();
  script().Then(kMoveMedium, [&](const Command& command) {
    script().AllFail(IsGone());
    return IsGone()(command);
  });
  const Status status = changer_->MoveMedium(A(1024), A(256));
  EXPECT_THAT(status, HasErrc(Errc::kOffline));
  EXPECT_THAT(status, MessageHas("what is there now is not known"));
}

TEST_F(ScsiChangerTest, AUnitAttentionBeforeAMoveChangesNothing) {
  Open();
  script().Then(kMoveMedium, Check(6, 0x29, 0x00));
  EXPECT_OK(changer_->MoveMedium(A(1024), A(256)));
  // Somebody opened the door, and these elements are as they were.
  script().Then(kMoveMedium, Check(6, 0x28, 0x01));
  EXPECT_OK(changer_->MoveMedium(A(256), A(1024)));
  EXPECT_EQ(fake_->At(1024), "V00001L1");
}

// An operator exchanged the medium: the robot must not take the other one.
TEST_F(ScsiChangerTest, O16_ASwappedMediumIsNotMoved) {
  Open();
  script().Then(kMoveMedium, [&](const Command& command) {
    fake_->Take(1024);
    fake_->Put(1024, "OTHER1L1");
    return Check(6, 0x28, 0x00)(command);
  });
  const Status status = changer_->MoveMedium(A(1024), A(256));
  EXPECT_THAT(status, HasErrc(Errc::kAborted));
  EXPECT_THAT(status, MessageHas("now 1024 holds OTHER1L1, 256 is empty"));
  EXPECT_EQ(script().Count(kMoveMedium), 1u);
  EXPECT_FALSE(fake_->At(256));
}

// At any point of the work, any number of unit attentions.
TEST_F(ScsiChangerTest, UnitAttentionsAtEveryCommandAreSurvived) {
  for (size_t at = 0; at < 12; ++at) {
    Open();
    size_t count = 0;
    const size_t first = script().Log().size();
    for (const auto& work :
         {+[](ScsiChanger& c) { return c.ReadElementStatus().status(); },
          +[](ScsiChanger& c) { return c.MoveMedium(A(1024), A(256)); },
          +[](ScsiChanger& c) { return c.DriveElements().status(); },
          +[](ScsiChanger& c) { return c.InitializeElementStatus(); }}) {
      if (count++ == at % 4) {
        script().Interrupt(Check(6, 0x29, 0x00));
        if (at >= 4) script().Interrupt(Check(6, 0x2A, 0x01));
        if (at >= 8) script().Interrupt(Check(6, 0x3F, 0x0E));
      }
      EXPECT_OK(work(*changer_));
    }
    EXPECT_TRUE(script().Done());
    EXPECT_GT(script().Log().size(), first);
    EXPECT_EQ(fake_->At(256), "V00001L1");
  }
}

TEST_F(ScsiChangerTest, O18_TurnsAMediumOver) {
  Open();
  ASSERT_OK(changer_->MoveMediumTurned(A(1024), A(256)));
  EXPECT_EQ(LastMove()[10], 1);
  EXPECT_TRUE(fake_->IsTurned(256));
  ASSERT_OK_AND_ASSIGN(const auto records, changer_->ReadRecords());
  EXPECT_EQ(std::count_if(records.begin(), records.end(),
                          [](const auto& r) { return r.inverted; }),
            1);
  // In its place.
  ASSERT_OK(changer_->MoveMediumTurned(A(256), A(256)));
  EXPECT_FALSE(fake_->IsTurned(256));
  FakeScsiChangerOptions stiff;
  stiff.turns = false;
  Open(stiff);
  EXPECT_THAT(changer_->MoveMediumTurned(A(1024), A(256)),
              HasErrc(Errc::kNotSupported));
}

TEST_F(ScsiChangerTest, O18_TellsWhichSideIsUp) {
  Open();
  ScsiChangerOptions options = Fast();
  options.two_sided = true;
  ASSERT_OK_AND_ASSIGN(const auto changer,
                       ScsiChanger::Open(fake_->Open(), options));
  ASSERT_OK(changer->MoveMediumTurned(A(1024), A(256)));
  ASSERT_OK_AND_ASSIGN(const auto statuses, changer->ReadElementStatus());
  std::vector<std::string> two;
  for (const ElementStatus& status : statuses) {
    if (status.sides != 2) continue;
    two.push_back(ToString(status.address) + (status.turned ? " B" : " A"));
  }
  EXPECT_THAT(two, ElementsAre("1026 A", "256 B"));
  // Nothing tells it but the operator.
  ASSERT_OK_AND_ASSIGN(const auto plain, changer_->ReadElementStatus());
  for (const ElementStatus& status : plain) EXPECT_EQ(status.sides, 1);
}

TEST_F(ScsiChangerTest, ExchangesTwoMedia) {
  Open();
  ASSERT_OK(changer_->MoveMedium(A(1024), A(256)));
  ASSERT_OK(changer_->ExchangeMedium(A(1026), A(256), A(1024)));
  EXPECT_EQ(fake_->At(256), "V00002L1");
  EXPECT_EQ(fake_->At(1024), "V00001L1");
  EXPECT_FALSE(fake_->At(1026));
  const Status status = changer_->ExchangeMedium(A(1026), A(256), A(1024));
  EXPECT_THAT(status, HasErrc(Errc::kNoMedium));
  EXPECT_THAT(status, MessageHas("now 1026 is empty, 256 holds V00002L1, 1024 "
                                 "holds V00001L1"));
  FakeScsiChangerOptions without;
  without.exchange = false;
  Open(without);
  const Status refused = changer_->ExchangeMedium(A(1024), A(1026), A(1024));
  EXPECT_THAT(refused, HasErrc(Errc::kNotSupported));
  EXPECT_THAT(refused,
              MessageHas("now 1024 holds V00001L1, 1026 holds V00002L1"));
  EXPECT_THAT(refused, Not(MessageHas("V00002L1, 1024")));
}

TEST_F(ScsiChangerTest, InitializesARangeByWhateverExists) {
  const auto initialized = [&](bool standard, bool old) {
    FakeScsiChangerOptions options;
    options.initialize_range = standard;
    options.initialize_range_old = old;
    Open(options);
    EXPECT_OK(changer_->InitializeElements({A(1024), 3}));
    std::vector<uint8_t> last;
    for (const SentCommand& sent : script().Log()) {
      const uint8_t operation = sent.cdb[0];
      if (operation == 0x37 || operation == 0xE7 || operation == 0x07) {
        last = sent.cdb;
      }
    }
    return last;
  };
  EXPECT_THAT(initialized(true, false),
              ElementsAre(0x37, 1, 4, 0, 0, 0, 0, 3, 0, 0));
  EXPECT_THAT(initialized(false, true),
              ElementsAre(0xE7, 1, 4, 0, 0, 0, 0, 3, 0, 0));
  EXPECT_THAT(initialized(false, false), ElementsAre(0x07, 0, 0, 0, 0, 0));
}

TEST_F(ScsiChangerTest, InitializeWaitsUntilTheChangerHasLooked) {
  Open();
  fake_->TakeStock(3);
  const size_t before = script().Count(0x00);
  ASSERT_OK(changer_->InitializeElementStatus());
  EXPECT_EQ(script().Count(0x00), before + 4);
}

TEST_F(ScsiChangerTest, LocksItsDoorUntilItEnds) {
  constexpr uint8_t kPrevent = 0x1E;
  const auto told = [&] {
    std::vector<int> locks;
    for (const SentCommand& sent : script().Log()) {
      if (sent.cdb[0] == kPrevent) locks.push_back(sent.cdb[4]);
    }
    return locks;
  };
  Open();
  EXPECT_THAT(told(), ElementsAre());
  ASSERT_OK(changer_->LockDoor(true));
  EXPECT_THAT(told(), ElementsAre(1));
  // After a reset the changer has forgotten it.
  script().Interrupt(Check(6, 0x29, 0x00));
  ASSERT_OK(changer_->ReadElementStatus());
  EXPECT_THAT(told(), ElementsAre(1, 1));
  script().Then(kPrevent, Check(5, 0x20, 0x00));
  EXPECT_THAT(changer_->LockDoor(false), HasErrc(Errc::kNotSupported));
  changer_.reset();
  EXPECT_THAT(told(), ElementsAre(1, 1, 0, 0));
}

// A changer that answers with an error may have locked it all the same.
TEST_F(ScsiChangerTest, ADoorThatMayBeLockedIsUnlocked) {
  Open();
  script().Then(0x1E, Check(4, 0x44, 0x00));
  EXPECT_FALSE(changer_->LockDoor(true).ok());
  const size_t told = script().Count(0x1E);
  changer_.reset();
  EXPECT_EQ(script().Count(0x1E), told + 1);
}

TEST_F(ScsiChangerTest, ADoorThatIsNotLockedIsLeftAlone) {
  Open();
  ASSERT_OK(changer_->LockDoor(true));
  ASSERT_OK(changer_->LockDoor(false));
  script().Interrupt(Check(6, 0x29, 0x00));
  ASSERT_OK(changer_->ReadElementStatus());
  const size_t told = script().Count(0x1E);
  changer_.reset();
  EXPECT_EQ(script().Count(0x1E), told);
  EXPECT_EQ(told, 2u);
}

}  // namespace
}  // namespace vellum::scsi
