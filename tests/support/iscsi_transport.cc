// SPDX-License-Identifier: Apache-2.0
#include "tests/support/iscsi_transport.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace vellum {
namespace {

constexpr const char* kInitiator = "iqn.2026-01.vellum.test:initiator";
constexpr int kConnectSeconds = 5;
constexpr int kHighestStatus = 0xFF;  // of SAM; above: libiscsi's own

struct TaskDeleter {
  void operator()(scsi_task* task) const { scsi_free_scsi_task(task); }
};

// The sense data of a response begins behind its length (RFC 7143, 11.4.7.2).
std::vector<uint8_t> SenseOf(const scsi_task& task) {
  if (task.status != SCSI_STATUS_CHECK_CONDITION || task.datain.size < 2 ||
      task.datain.data == nullptr) {
    return {};
  }
  const auto* data = task.datain.data;
  const auto size = static_cast<size_t>(task.datain.size);
  const size_t length = size_t{data[0]} << 8 | data[1];
  return {data + 2, data + 2 + std::min(length, size - 2)};
}

}  // namespace

bool IscsiTransport::IsUrl(const std::string& name) {
  return name.starts_with("iscsi://");
}

Result<std::unique_ptr<scsi::Transport>> IscsiTransport::Open(
    const std::string& url) {
  std::unique_ptr<IscsiTransport> transport(new IscsiTransport(url));
  RETURN_IF_ERROR(transport->Connect());
  return std::unique_ptr<scsi::Transport>(std::move(transport));
}

IscsiTransport::~IscsiTransport() {
  if (context_ != nullptr) iscsi_logout_sync(context_);
  Disconnect();
}

Status IscsiTransport::Connect() {
  context_ = iscsi_create_context(kInitiator);
  VELLUM_CHECK(context_ != nullptr);
  // Else a target that is gone would be waited for, for ever.
  iscsi_set_noautoreconnect(context_, 1);
  iscsi_set_timeout(context_, kConnectSeconds);
  iscsi_url* const url = iscsi_parse_full_url(context_, url_.c_str());
  if (url == nullptr) {
    Status status(Errc::kInvalidArgument,
                  url_ + ": " + iscsi_get_error(context_));
    Disconnect();
    return status;
  }
  lun_ = url->lun;
  iscsi_set_targetname(context_, url->target);
  iscsi_set_session_type(context_, ISCSI_SESSION_NORMAL);
  // Not iscsi_full_connect_sync: that would swallow the unit attention.
  const bool connected = iscsi_connect_sync(context_, url->portal) == 0 &&
                         iscsi_login_sync(context_) == 0;
  iscsi_destroy_url(url);
  if (connected) return Status::Ok();
  Status status(Errc::kOffline, url_ + ": " + iscsi_get_error(context_));
  Disconnect();
  return status;
}

void IscsiTransport::Disconnect() {
  if (context_ != nullptr) iscsi_destroy_context(context_);
  context_ = nullptr;
}

Result<scsi::Reply> IscsiTransport::Execute(const scsi::Command& command) {
  const std::lock_guard lock(mutex_);
  if (context_ == nullptr) RETURN_IF_ERROR(Connect());
  const auto seconds =
      std::chrono::ceil<std::chrono::seconds>(command.timeout).count();
  iscsi_set_timeout(context_, static_cast<int>(seconds));

  int direction = SCSI_XFER_NONE;
  size_t length = 0;
  if (!command.in.empty()) {
    direction = SCSI_XFER_READ;
    length = command.in.size();
  } else if (!command.out.empty()) {
    direction = SCSI_XFER_WRITE;
    length = command.out.size();
  }
  auto cdb = command.cdb;
  const std::unique_ptr<scsi_task, TaskDeleter> task(
      scsi_create_task(static_cast<int>(cdb.size()), cdb.data(), direction,
                       static_cast<int>(length)));
  VELLUM_CHECK(task != nullptr);
  if (direction == SCSI_XFER_READ) {
    scsi_task_add_data_in_buffer(
        task.get(), static_cast<int>(length),
        reinterpret_cast<unsigned char*>(command.in.data()));
  } else if (direction == SCSI_XFER_WRITE) {
    // libiscsi only reads from it.
    scsi_task_add_data_out_buffer(
        task.get(), static_cast<int>(length),
        reinterpret_cast<unsigned char*>(
            const_cast<std::byte*>(command.out.data())));
  }
  const bool sent =
      iscsi_scsi_command_sync(context_, lun_, task.get(), nullptr) != nullptr;
  if (!sent || task->status > kHighestStatus) {
    const bool late = sent && task->status == SCSI_STATUS_TIMEOUT;
    Error error{late ? Errc::kTimedOut : Errc::kOffline,
                url_ + ": " + iscsi_get_error(context_)};
    Disconnect();
    return error;
  }
  scsi::Reply reply;
  reply.status = static_cast<uint8_t>(task->status);
  reply.sense = SenseOf(*task);
  reply.transferred = length;
  if (task->residual_status == SCSI_RESIDUAL_UNDERFLOW) {
    reply.transferred -= std::min(length, task->residual);
  }
  return reply;
}

}  // namespace vellum
