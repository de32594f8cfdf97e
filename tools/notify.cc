// SPDX-License-Identifier: Apache-2.0
#include "tools/notify.h"

#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace vellum {

void NotifyReady(const std::string& status) {
  // MAINPID: the process that serves is not the one that was started when the
  // daemon goes to the background.
  ::sd_notifyf(0, "READY=1\nMAINPID=%ld\nSTATUS=%s",
               static_cast<long>(::getpid()), status.c_str());
}

void NotifyStopping() { ::sd_notify(0, "STOPPING=1"); }

}  // namespace vellum
