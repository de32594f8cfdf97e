// SPDX-License-Identifier: Apache-2.0
// What stands in front of a medium hands through every method of it but those
// of which its header says otherwise. Another wrapper takes part by its line in
// Wrappers().
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "copy/metered_medium.h"
#include "media/auxiliary_book.h"
#include "media/borrowed_medium.h"
#include "media/device_clock.h"
#include "media/device_faults.h"
#include "media/fault_medium.h"
#include "media/leased_medium.h"
#include "media/timed_devices.h"
#include "media/volatile_medium.h"
#include "media/write_once_medium.h"
#include "tests/support/memory_medium.h"
#include "tests/support/status_matchers.h"

namespace vellum {
namespace {

using Names = std::set<std::string>;

constexpr uint64_t kFree = 12345;
constexpr int kFd = 678;

// Knows which of its methods were called; those with a default differ from it.
class Spy : public Medium {
 public:
  explicit Spy(Names* called) : called_(called) {}

  MediumInfo Info() const override {
    called_->insert("Info");
    return memory_.Info();
  }
  Status Read(uint64_t lba, ByteSpan out) override {
    called_->insert("Read");
    return memory_.Read(lba, out);
  }
  Status Write(uint64_t lba, ConstByteSpan data) override {
    called_->insert("Write");
    return memory_.Write(lba, data);
  }
  Status WriteStream(uint64_t lba, ConstByteSpan data) override {
    called_->insert("WriteStream");
    return memory_.Write(lba, data);
  }
  Status Flush() override {
    called_->insert("Flush");
    return Status::Ok();
  }
  Status Discard(uint64_t lba, uint64_t count) override {
    called_->insert("Discard");
    return memory_.Discard(lba, count);
  }
  Status Finalize() override {
    called_->insert("Finalize");
    return Status::Ok();
  }
  Result<SectorRange> NextAllocated(SectorRange from) override {
    called_->insert("NextAllocated");
    return SectorRange{from.first + 1, 2};
  }
  void DropReadCache(uint64_t, uint64_t) override {
    called_->insert("DropReadCache");
  }
  uint64_t HostFreeBytes() const override {
    called_->insert("HostFreeBytes");
    return kFree;
  }
  int DirectFd() const override {
    called_->insert("DirectFd");
    return kFd;
  }

 private:
  Names* const called_;
  MemoryMedium memory_{64};
};

struct Wrapper {
  std::string name;
  std::function<std::unique_ptr<Medium>(std::unique_ptr<Medium>)> make;
  Names own;  // what it answers itself
};

// Owns what the wrappers that own nothing need.
class ForwardingContract : public testing::Test {
 protected:
  std::vector<Wrapper> Wrappers() {
    using Below = std::unique_ptr<Medium>;
    return {
        {"BorrowedMedium",
         [this](Below below) {
           kept_ = std::move(below);
           return std::make_unique<BorrowedMedium>(kept_.get());
         },
         {}},
        {"MeteredMedium",
         [this](Below below) {
           kept_ = std::move(below);
           return std::make_unique<MeteredMedium>(kept_.get(), nullptr);
         },
         {}},
        {"CountedMedium",
         [this](Below below) {
           return book_->Hooks().loaded("V00001", {256}, std::move(below));
         },
         {}},
        {"LeasedMedium",
         [](Below below) {
           return std::make_unique<LeasedMedium>(std::move(below),
                                                 [](const Error&) {});
         },
         {}},
        {"FaultMedium",
         [](Below below) {
           return std::make_unique<FaultMedium>(std::move(below),
                                                std::make_shared<FaultPlan>());
         },
         {"DirectFd"}},
        {"VolatileMedium",
         [](Below below) {
           return std::make_unique<VolatileMedium>(std::move(below), true);
         },
         {"DirectFd"}},
        {"DeviceFaults",
         [this](Below below) {
           return faults_.Wrap("V00001", {256}, std::move(below));
         },
         {"DirectFd"}},
        {"TimedMedium",
         [](Below below) {
           return std::make_unique<TimedMedium>(
               std::move(below), TimingModel(),
               std::make_shared<SimulatedClock>());
         },
         {"DirectFd"}},
        // Closing it is a flush and a note.
        {"WriteOnceMedium",
         [](Below below) {
           return std::make_unique<WriteOnceMedium>(
               std::move(below), WrittenState::kBlank,
               [](WrittenState) { return Status::Ok(); });
         },
         {"DirectFd", "Discard", "Finalize"}},
    };
  }

  const std::unique_ptr<AuxiliaryBook> book_ = AuxiliaryBook::Open("");
  DeviceFaults faults_;
  std::unique_ptr<Medium> kept_;
};

TEST_F(ForwardingContract, EveryMethodReachesTheMediumBelow) {
  for (const Wrapper& wrapper : Wrappers()) {
    SCOPED_TRACE(wrapper.name);
    Names called;
    const std::unique_ptr<Medium> medium =
        wrapper.make(std::make_unique<Spy>(&called));
    Bytes sector(kSectorSize);
    // Each is called alone, so that none stands for another one.
    const auto expect = [&](const std::string& method, const auto& call) {
      called.clear();
      call();
      EXPECT_EQ(called.count(method), 1 - wrapper.own.count(method)) << method;
    };
    expect("Info", [&] { EXPECT_EQ(medium->Info().sectors, 64u); });
    expect("Write", [&] { EXPECT_OK(medium->Write(0, sector)); });
    EXPECT_EQ(called.count("WriteStream"), 0u);
    expect("WriteStream", [&] { EXPECT_OK(medium->WriteStream(1, sector)); });
    EXPECT_EQ(called.count("Write"), 0u);
    expect("Read", [&] { EXPECT_OK(medium->Read(0, sector)); });
    expect("Flush", [&] { EXPECT_OK(medium->Flush()); });
    expect("Discard", [&] {
      EXPECT_EQ(medium->Discard(0, 1).ok(), wrapper.own.count("Discard") == 0);
    });
    expect("NextAllocated", [&] {
      ASSERT_OK_AND_ASSIGN(const SectorRange range,
                           medium->NextAllocated({8, 8}));
      EXPECT_EQ(range.first, 9u);
    });
    expect("DropReadCache", [&] { medium->DropReadCache(0, 1); });
    expect("HostFreeBytes", [&] { EXPECT_EQ(medium->HostFreeBytes(), kFree); });
    expect("DirectFd", [&] {
      EXPECT_EQ(medium->DirectFd(),
                wrapper.own.count("DirectFd") == 0 ? kFd : -1);
    });
    expect("Finalize", [&] { EXPECT_OK(medium->Finalize()); });
  }
}

}  // namespace
}  // namespace vellum
