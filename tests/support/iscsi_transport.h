// SPDX-License-Identifier: Apache-2.0
// IscsiTransport: commands to a logical unit of an iSCSI target, in user space.
// With it the tests of the SCSI code run against a real target without a
// virtual machine, and under the sanitizers.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "media/scsi/transport.h"

struct iscsi_context;

namespace vellum {

// Thread-safety: as Transport; commands go one after another. A session that
// failed is given up, the next command opens another one: the device then says
// 6/29/00 first, as after any reset.
class IscsiTransport : public scsi::Transport {
 public:
  // "iscsi://127.0.0.1:3260/iqn.2026-01.example:disk/1". kInvalidArgument;
  // kOffline when there is no such target.
  static Result<std::unique_ptr<scsi::Transport>> Open(const std::string& url);
  static bool IsUrl(const std::string& name);

  ~IscsiTransport() override;
  Result<scsi::Reply> Execute(const scsi::Command& command) override;
  size_t MaxTransfer() const override { return 8 << 20; }
  std::string Name() const override { return url_; }

 private:
  explicit IscsiTransport(std::string url) : url_(std::move(url)) {}
  Status Connect();
  void Disconnect();

  const std::string url_;
  std::mutex mutex_;  // held over I/O: a session of libiscsi is one thread's
  iscsi_context* context_ = nullptr;
  int lun_ = 0;
};

}  // namespace vellum
