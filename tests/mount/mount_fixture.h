// SPDX-License-Identifier: Apache-2.0
// A library served at a real mount point by a daemon of its own process. The
// test needs /dev/fuse and the right to mount.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <string>

#include "fs/json.h"
#include "fs/session.h"
#include "media/error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace vellum {

// Waits until `condition` holds; false after half a minute.
bool Eventually(const std::function<bool()>& condition);

// Runs `body` in a child process; the child's exit status (0..255), or -1.
int InChild(const std::function<int()>& body);

// The errno of a call that answers < 0 on failure; 0 when it worked.
int ErrnoAfter(long result);

// What one control file of an open write and read gives.
struct Answer {
  int err = 0;  // of the write
  Json json;    // what was read on the same file afterwards
};

class MountFixture : public testing::Test {
 protected:
  struct Geometry {
    uint16_t media = 4;
    uint16_t drives = 2;
    uint64_t capacity = 32ull << 20;
  };
  virtual Geometry geometry() const { return {}; }

  void SetUp() override;
  void TearDown() override;

  std::string library() const { return dir_.Sub("library"); }
  std::string mount() const { return dir_.Sub("mount"); }
  // A path below the mount.
  std::string At(const std::string& path) const { return mount() + "/" + path; }
  std::string Control(const std::string& path) const {
    return At(".vellum/" + path);
  }

  // Starts the daemon, in the background.
  Status Start();
  // Ends it by the command, and waits until the library is free again.
  void Stop();
  // Kills the daemon, and takes away what is left of its mount.
  void Kill();

  // Writes a command and reads its answer.
  Answer Tell(const std::string& command) const {
    return TellFile("command", command);
  }
  Answer TellFile(const std::string& control_file,
                  const std::string& text) const;
  // Of a command that works.
  Json Run(const std::string& command) const;
  // Waits for the end of a job; its row of the table.
  Json WaitJob(uint64_t id) const;
  // Makes a backup of `volume`; its volume id.
  std::string Backup(const std::string& volume,
                     const std::string& medium) const;
  std::string ReadControl(const std::string& path) const;
  Json ReadControlJson(const std::string& path) const {
    return Json::parse(ReadControl(path));
  }
  pid_t DaemonPid() const;
  // A new directory to mount something else at.
  std::string NewDirectory(const std::string& name) const;

  TempDir dir_;
  bool running_ = false;
};

}  // namespace vellum
