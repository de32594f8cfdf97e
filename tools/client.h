// SPDX-License-Identifier: Apache-2.0
// Client: how the program speaks to the daemon. There is no other protocol than
// the control tree (docs/control.md): a command is one write to
// MOUNT/.vellum/command, its answer is read from the same open file; tables are
// files.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/json.h"
#include "media/error.h"

namespace vellum {

// Words of the control grammar, made of what a user typed: blanks, quotes and
// backslashes are quoted. An argument that looks like an option ("a=b") is
// quoted, too, and so stays an argument.
std::string Argument(const std::string& text);
std::string Option(const std::string& key, const std::string& value);
// The words as one command.
std::string CommandText(const std::vector<std::string>& words);

// The daemon's answer as a value: its `result`, or its error. An answer that is
// no JSON or has another form is kInternal.
Result<Json> ParseAnswer(const std::string& text);

// One line of /proc/self/mounts of type fuse.vellum; \040 and the like are
// decoded.
struct VellumMount {
  std::string source;  // directory of the library, or the image file
  std::string target;  // mount point
};
std::vector<VellumMount> VellumMounts(const std::string& mounts);

// Where to look for the daemon, in this order; empty = not given. Of a library,
// DIR/state/mount says where it is mounted.
struct DaemonAddress {
  std::string mount;                              // --mount
  std::string library;                            // --library
  std::string mount_default;                      // VELLUM_MOUNT
  std::string library_default;                    // VELLUM_LIBRARY
  std::string mounts_file = "/proc/self/mounts";  // the only fuse.vellum in it
};
// The mount point. kOffline: no daemon serves what was asked for; the message
// says what was looked at. kInvalidArgument: mount and library are both given,
// and the library is mounted elsewhere.
Result<std::string> FindMount(const DaemonAddress& address);

// Thread-safety: one thread at a time. Errors: kOffline when the daemon is gone
// or never was; what the daemon answered, with its code and message.
class Client {
 public:
  // Sends one command and answers all that came back. Replaced in tests.
  using Exchange =
      std::function<Result<std::string>(const std::string& command)>;

  explicit Client(std::string mount);
  Client(std::string mount, Exchange exchange);

  const std::string& mount() const { return mount_; }
  std::string ControlPath(const std::string& name) const;

  // Sends the words, which stand as the grammar wants them, as one command.
  Result<Json> Send(const std::vector<std::string>& words) const;
  // A file of the control tree ("media", "media.json", "jobs/3/log").
  Result<std::string> ReadControl(const std::string& name) const;
  Result<Json> ReadJson(const std::string& name) const;

 private:
  std::string mount_;
  Exchange exchange_;
};

}  // namespace vellum
