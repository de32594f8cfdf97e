// SPDX-License-Identifier: Apache-2.0
#include "tests/support/manual_bench.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

#include "media/image_medium.h"
#include "media/manual/manual_confirm.h"
#include "media/udf/format.h"

namespace vellum {

namespace {

namespace stdfs = std::filesystem;

constexpr std::chrono::milliseconds kLook{1};

}  // namespace

ManualBench::ManualBench(uint16_t docks, uint16_t slots, uint16_t media) {
  config_.directory = dir_.Sub("library");
  config_.slots = slots;
  stdfs::create_directories(dir_.Sub("library/state"));
  stdfs::create_directories(dir_.Sub("shelf"));
  for (uint16_t i = 0; i < docks; ++i) {
    config_.docks.push_back(dir_.Sub(fmt::format("dock{}", i)));
    stdfs::create_directories(config_.docks.back());
  }
  Shelf shelf;
  for (uint16_t i = 0; i < media; ++i) {
    const VolumeTag tag = fmt::format("V{:05}", i + 1);
    shelf[ElementAddress{static_cast<uint16_t>(1024 + i)}].tag = tag;
    WriteFileOrDie(Image(tag), "");
    VELLUM_CHECK(truncate(Image(tag).c_str(), 8 << 20) == 0);
  }
  VELLUM_CHECK(WriteShelf(config_.directory, shelf).ok());
}

std::shared_ptr<ManualState> ManualBench::Load() const {
  auto state = ManualState::Load(config_);
  VELLUM_CHECK(state.ok());
  return *state;
}

std::string ManualBench::Image(const VolumeTag& tag) const {
  return dir_.Sub("shelf/" + tag);
}

std::string ManualBench::DockFolder(ElementAddress dock) const {
  return config_.docks[dock.value - kDock.value];
}

void ManualBench::PutIn(const VolumeTag& tag, ElementAddress dock) const {
  stdfs::create_symlink(Image(tag), DockFolder(dock) + "/" + tag);
}

void ManualBench::TakeOut(ElementAddress dock) const {
  for (const auto& entry : stdfs::directory_iterator(DockFolder(dock))) {
    stdfs::remove(entry.path());
  }
}

std::string ManualBench::Format(const VolumeTag& tag,
                                const std::string& volume) const {
  auto medium = ImageMedium::Open(Image(tag), {});
  VELLUM_CHECK(medium.ok());
  udf::FormatOptions options;
  options.volume_id = volume;
  options.clear = true;
  const auto slot = udf::FormatVolume(**medium, options);
  VELLUM_CHECK(slot.ok());
  return slot->medium_uuid;
}

ObedientOperator::ObedientOperator(std::shared_ptr<ManualState> state,
                                   const ManualBench* bench)
    : state_(std::move(state)),
      bench_(bench),
      thread_([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          for (const OperatorRequest& request : state_->desk().List()) {
            Serve(request);
          }
          std::this_thread::sleep_for(kLook);
        }
      }) {}

void ObedientOperator::Serve(const OperatorRequest& request) {
  const std::string entry =
      bench_->DockFolder(request.dock) + "/" + request.medium;
  const bool there = stdfs::is_symlink(entry);
  if (request.load && there) {
    // It may be taken back, or done, meanwhile.
    ConfirmRequest(*state_, request.number, false).IgnoreError("not our call");
  } else if (request.load) {
    for (const std::string& dock : bench_->config().docks) {
      stdfs::remove(dock + "/" + request.medium);
    }
    bench_->TakeOut(request.dock);
    bench_->PutIn(request.medium, request.dock);
    state_->desk().Wake();
  } else if (there) {
    bench_->TakeOut(request.dock);
    state_->desk().Wake();
  }
}

OperatorRequest AwaitRequest(ManualState& state, const std::string& found) {
  for (;;) {
    for (const OperatorRequest& request : state.desk().List()) {
      if (request.found.find(found) != std::string::npos) return request;
    }
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace vellum
