// SPDX-License-Identifier: Apache-2.0
// vellum medium: the media of a virtual library that no daemon serves.
#pragma once

namespace CLI {
class App;
}  // namespace CLI

namespace vellum {

struct Cli;

void AddMedium(CLI::App& app, Cli& cli);  // medium add

}  // namespace vellum
