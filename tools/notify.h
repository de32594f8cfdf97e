// SPDX-License-Identifier: Apache-2.0
// Tells the service manager when the daemon is ready and when it ends. Does
// nothing when NOTIFY_SOCKET is not set.
#pragma once

#include <string>

namespace vellum {

void NotifyReady(const std::string& status);
void NotifyStopping();

}  // namespace vellum
