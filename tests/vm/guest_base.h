// SPDX-License-Identifier: Apache-2.0
// What the first process of every guest does first. Static programs without the
// project's libraries.
#pragma once

#include <string>

namespace vellum {

// To the console, which the host shows when something fails.
void SayOnConsole(const std::string& text);

// The word that machine.py waits for, then /proc, /sys, /dev and the modules of
// the initial RAM disk.
void BeginGuest();

// Ends the machine: QEMU runs with -no-reboot.
void EndGuest();

}  // namespace vellum
