// SPDX-License-Identifier: Apache-2.0
#include "tests/scsi/user_target.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

namespace vellum {
namespace {

namespace fs = std::filesystem;

// linux/target_core_user.h, which is no C++: a mailbox, then a ring of entries,
// each a command, and later its answer.
struct Mailbox {
  uint16_t version;
  uint16_t flags;
  uint32_t ring_offset;
  uint32_t ring_size;
  uint32_t head;
  alignas(64) uint32_t tail;  // ours
};
struct EntryHeader {
  uint32_t length_and_kind;  // the kind in the lower bits
  uint16_t id;
  uint8_t kernel_flags;
  uint8_t user_flags;
};
struct Question {
  EntryHeader header;
  uint32_t parts;  // of iovec, behind this
  uint32_t parts_bidirectional;
  uint32_t parts_protection;
  uint32_t padding;
  uint64_t cdb_offset;
  uint64_t unused[2];
};
struct Answered {
  EntryHeader header;
  uint8_t status;
  uint8_t unused[3];
  uint32_t read_length;
  uint8_t sense[96];
};
static_assert(offsetof(Mailbox, tail) == 64);
static_assert(offsetof(Question, cdb_offset) == 24 && sizeof(Question) == 48);
static_assert(offsetof(Answered, sense) == 16);
constexpr uint32_t kKindMask = 7, kPadding = 0, kCommand = 1;
constexpr uint8_t kUnknownKind = 1, kHasReadLength = 2;

uint32_t* Number(std::byte* at) { return reinterpret_cast<uint32_t*>(at); }

size_t CdbLength(uint8_t operation) {
  constexpr std::array<size_t, 8> kByGroup = {6, 10, 10, 12, 16, 12, 12, 12};
  return kByGroup[operation >> 5];
}

std::string FirstLine(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Empty: there is none.
std::string FindGeneric(const std::string& model) {
  for (const auto& entry : fs::directory_iterator("/sys/class/scsi_generic")) {
    const std::string found = FirstLine(entry.path() / "device/model");
    const std::string device = "/dev/" + entry.path().filename().string();
    if (found.rfind(model, 0) == 0 && fs::exists(device)) return device;
  }
  return "";
}

}  // namespace

UserTarget::UserTarget(UserTargetPaths paths,
                       std::unique_ptr<scsi::Transport> device,
                       const std::string& model)
    : paths_(std::move(paths)), device_(std::move(device)) {
  uio_ = open(paths_.uio.c_str(), O_RDWR | O_CLOEXEC);
  VELLUM_CHECK(uio_ >= 0);
  const fs::path maps =
      "/sys/class/uio" / fs::path(paths_.uio).filename() / "maps/map0/size";
  size_ = std::stoull(FirstLine(maps), nullptr, 16);
  void* const map =
      mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, uio_, 0);
  VELLUM_CHECK(map != MAP_FAILED);
  map_ = static_cast<std::byte*>(map);
  stop_ = eventfd(0, EFD_CLOEXEC);
  VELLUM_CHECK(stop_ >= 0);
  thread_ = std::thread([this] { Serve(); });
  // The kernel asks it at once what it is.
  fs::create_directory_symlink(paths_.backing, paths_.unit);
  while (name_.empty()) name_ = FindGeneric(model);
}

UserTarget::~UserTarget() {
  std::error_code gone;
  fs::remove(paths_.unit, gone);
  const uint64_t one = 1;
  VELLUM_CHECK(write(stop_, &one, sizeof(one)) > 0);
  thread_.join();
  munmap(map_, size_);
  close(uio_);
  close(stop_);
}

void UserTarget::Serve() {
  std::array<pollfd, 2> events = {pollfd{uio_, POLLIN, 0},
                                  pollfd{stop_, POLLIN, 0}};
  for (;;) {
    AnswerAll();
    const int ready = poll(events.data(), events.size(), -1);
    if (ready < 0) continue;  // a signal
    if (events[1].revents != 0) return;
    uint32_t count = 0;
    VELLUM_CHECK(read(uio_, &count, sizeof(count)) > 0);
  }
}

void UserTarget::AnswerAll() {
  const auto* const box = reinterpret_cast<const Mailbox*>(map_);
  uint32_t* const head = Number(map_ + offsetof(Mailbox, head));
  uint32_t* const tail = Number(map_ + offsetof(Mailbox, tail));
  bool any = false;
  while (*tail != __atomic_load_n(head, __ATOMIC_ACQUIRE)) {
    std::byte* const entry = map_ + box->ring_offset + *tail;
    auto* const header = reinterpret_cast<EntryHeader*>(entry);
    const uint32_t kind = header->length_and_kind & kKindMask;
    if (kind == kCommand) {
      Answer(entry);
    } else if (kind != kPadding) {
      header->user_flags = kUnknownKind;
    }
    const uint32_t length = header->length_and_kind & ~kKindMask;
    __atomic_store_n(tail, (*tail + length) % box->ring_size, __ATOMIC_RELEASE);
    any = true;
  }
  if (!any) return;
  const uint32_t done = 0;
  VELLUM_CHECK(write(uio_, &done, sizeof(done)) > 0);
}

void UserTarget::Answer(std::byte* entry) {
  // The answer lies over the question. Addresses are offsets.
  Question question{};
  std::memcpy(&question, entry, sizeof(question));
  std::vector<iovec> parts(question.parts);
  if (!parts.empty()) {
    std::memcpy(parts.data(), entry + sizeof(question),
                parts.size() * sizeof(iovec));
  }
  Bytes data;
  for (const iovec& part : parts) data.resize(data.size() + part.iov_len);
  const auto* const cdb =
      reinterpret_cast<const uint8_t*>(map_ + question.cdb_offset);
  scsi::Command command;
  command.cdb.assign(cdb, cdb + CdbLength(*cdb));
  command.in = data;
  const Result<scsi::Reply> reply = device_->Execute(command);
  VELLUM_CHECK(reply.ok());
  size_t at = 0;
  for (const iovec& part : parts) {
    std::memcpy(map_ + reinterpret_cast<uintptr_t>(part.iov_base),
                data.data() + at, part.iov_len);
    at += part.iov_len;
  }
  Answered answer{};
  answer.header = question.header;
  answer.header.user_flags = kHasReadLength;
  answer.status = reply->status;
  answer.read_length = static_cast<uint32_t>(reply->transferred);
  const size_t told = std::min(reply->sense.size(), sizeof(answer.sense));
  std::copy_n(reply->sense.begin(), told, answer.sense);
  std::memcpy(entry, &answer, sizeof(answer));
}

}  // namespace vellum
