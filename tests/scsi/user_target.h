// SPDX-License-Identifier: Apache-2.0
// A device that is played in this process as a real /dev/sgN: Linux's own
// target hands its commands to us (target_core_user, the interface that
// tcmu-runner uses), and the kernel is the initiator as well (tcm_loop).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "media/scsi/transport.h"

namespace vellum {

// Where user_target.sh has prepared it.
struct UserTargetPaths {
  std::string uio;      // "/dev/uio0": commands to us
  std::string backing;  // in configfs: the device
  std::string unit;     // and where it becomes a logical unit, as a link
};

// There is a /dev/sgN from the constructor to the destructor, and a thread that
// has `device` answer what is sent to it. Only of commands that send data to
// the initiator, or none. Aborts where the kernel refuses.
class UserTarget {
 public:
  // `model`: the product of its INQUIRY, by which it is found.
  UserTarget(UserTargetPaths paths, std::unique_ptr<scsi::Transport> device,
             const std::string& model);
  ~UserTarget();
  UserTarget(const UserTarget&) = delete;
  UserTarget& operator=(const UserTarget&) = delete;

  const std::string& name() const { return name_; }  // "/dev/sg3"

 private:
  void Serve();
  void AnswerAll();
  void Answer(std::byte* entry);

  const UserTargetPaths paths_;
  const std::unique_ptr<scsi::Transport> device_;
  int uio_ = -1;
  int stop_ = -1;  // an event
  std::byte* map_ = nullptr;
  size_t size_ = 0;
  std::string name_;
  std::thread thread_;
};

}  // namespace vellum
