// SPDX-License-Identifier: Apache-2.0
// A SCSI device that says what a test tells it to say.
//
//   ScsiScript script;
//   script.Always(0x12, Data(kInquiry));      // any number of times
//   script.Then(0xA5, Check(6, 0x28, 0x00));  // once, in this order
//   script.Then(0xA5, Good());
//   scsi::Device device(script.Open());
//   …
//   EXPECT_TRUE(script.Done());
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "media/scsi/transport.h"

namespace vellum {

// What a device does with one command; may fill command.in.
using ScsiHandler =
    std::function<Result<scsi::Reply>(const scsi::Command& command)>;

// Handlers of one answer.
ScsiHandler Good();
// Copies the bytes to `in`, cut to its length.
ScsiHandler Data(std::vector<uint8_t> bytes);
ScsiHandler Data(const std::string& bytes);
// CHECK CONDITION with fixed sense data; `information` if not negative.
ScsiHandler Check(uint8_t key, uint8_t asc, uint8_t ascq,
                  int64_t information = -1);
// CHECK CONDITION with these sense bytes.
ScsiHandler CheckWith(std::vector<uint8_t> sense);
ScsiHandler StatusOf(uint8_t status);
ScsiHandler TimesOut();
ScsiHandler IsGone();
ScsiHandler TransportFails();

// One command as the device got it.
struct SentCommand {
  std::vector<uint8_t> cdb;
  std::vector<uint8_t> out;
  size_t in_size = 0;
  std::chrono::milliseconds timeout{0};
};

// Ownership: a handle; copies and the transports that it opened share one
// script. Thread-safety: all methods, and Execute, may be called concurrently;
// handlers are called one at a time.
class ScsiScript {
 public:
  explicit ScsiScript(std::string name = "/dev/scripted");

  // The next command that nothing before answers must have this operation code.
  // A command that is neither expected next nor has an Always is a failure of
  // the test and gets 5/20/00.
  ScsiScript& Then(uint8_t operation, ScsiHandler handler);
  // `count` times 2/04/01.
  ScsiScript& BecomingReady(uint8_t operation, int count);
  // Every command of this code that is not expected next.
  ScsiScript& Always(uint8_t operation, ScsiHandler handler);
  // Before everything else, whatever the next command is: for unit attentions,
  // time-outs and a device that goes away at any point.
  ScsiScript& Interrupt(ScsiHandler handler);
  // From now on every command that no Interrupt answers; {} ends it.
  ScsiScript& AllFail(ScsiHandler handler);

  // What the transport tells; 512 KiB unless set before Open().
  ScsiScript& MaxTransfer(size_t bytes);

  // Whether everything of Then and Interrupt was asked for.
  bool Done() const;
  std::vector<SentCommand> Log() const;
  // Of the log: how many commands have this code.
  size_t Count(uint8_t operation) const;

  std::unique_ptr<scsi::Transport> Open() const;

 private:
  class State;
  class ScriptedTransport;
  std::shared_ptr<State> state_;
};

}  // namespace vellum
