// SPDX-License-Identifier: Apache-2.0
// What commands take from scripts that were made for other archive systems.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace vellum {

// "-l DEVICE": one daemon has one changer, so the device is not looked at.
inline void TakeOldDevice(CLI::App* sub) {
  sub->add_option_function<std::string>(
         "-l", [](const std::string&) {},
         "Device of the changer: from old scripts, not looked at")
      ->type_name("DEVICE");
}

}  // namespace vellum
