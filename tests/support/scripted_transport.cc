// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scripted_transport.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "media/mutex.h"

namespace vellum {

namespace {

std::vector<uint8_t> FixedSense(uint8_t key, uint8_t asc, uint8_t ascq,
                                int64_t information) {
  std::vector<uint8_t> sense(18);
  sense[0] = 0x70;
  sense[2] = key;
  sense[7] = 10;
  sense[12] = asc;
  sense[13] = ascq;
  if (information >= 0) {
    sense[0] |= 0x80;
    for (int i = 0; i < 4; ++i) {
      sense[3 + i] = static_cast<uint8_t>(information >> (24 - 8 * i));
    }
  }
  return sense;
}

ScsiHandler Fails(Errc code, const char* why) {
  return [code, why](const scsi::Command& command) -> Result<scsi::Reply> {
    return Error{code, fmt::format("/dev/scripted: command 0x{:02X}: {}",
                                   command.cdb[0], why)};
  };
}

}  // namespace

ScsiHandler StatusOf(uint8_t status) {
  return [status](const scsi::Command& command) -> Result<scsi::Reply> {
    scsi::Reply reply;
    reply.status = status;
    if (status == scsi::kGood) reply.transferred = command.out.size();
    return reply;
  };
}

ScsiHandler Good() { return StatusOf(scsi::kGood); }

ScsiHandler Data(std::vector<uint8_t> bytes) {
  return [bytes = std::move(bytes)](
             const scsi::Command& command) -> Result<scsi::Reply> {
    scsi::Reply reply;
    reply.transferred = std::min(bytes.size(), command.in.size());
    if (reply.transferred > 0) {
      std::memcpy(command.in.data(), bytes.data(), reply.transferred);
    }
    return reply;
  };
}

ScsiHandler Data(const std::string& bytes) {
  return Data(std::vector<uint8_t>(bytes.begin(), bytes.end()));
}

ScsiHandler CheckWith(std::vector<uint8_t> sense) {
  return
      [sense = std::move(sense)](const scsi::Command&) -> Result<scsi::Reply> {
        scsi::Reply reply;
        reply.status = scsi::kCheckCondition;
        reply.sense = sense;
        return reply;
      };
}

ScsiHandler Check(uint8_t key, uint8_t asc, uint8_t ascq, int64_t information) {
  return CheckWith(FixedSense(key, asc, ascq, information));
}

ScsiHandler TimesOut() { return Fails(Errc::kTimedOut, "no answer in time"); }
ScsiHandler IsGone() { return Fails(Errc::kOffline, "the device is gone"); }
ScsiHandler TransportFails() {
  return Fails(Errc::kDeviceError, "the transport failed");
}

class ScsiScript::State {
 public:
  explicit State(std::string name) : name_(std::move(name)) {}

  void Then(uint8_t operation, ScsiHandler handler) {
    MutexLock lock(&mu_);
    expected_.push_back({operation, std::move(handler)});
  }
  void Always(uint8_t operation, ScsiHandler handler) {
    MutexLock lock(&mu_);
    always_[operation] = std::move(handler);
  }
  void Interrupt(ScsiHandler handler) {
    MutexLock lock(&mu_);
    interrupts_.push_back(std::move(handler));
  }
  void AllFail(ScsiHandler handler) {
    MutexLock lock(&mu_);
    all_fail_ = std::move(handler);
  }
  bool Done() {
    MutexLock lock(&mu_);
    return expected_.empty() && interrupts_.empty();
  }
  std::vector<SentCommand> Log() {
    MutexLock lock(&mu_);
    return log_;
  }
  const std::string& name() const { return name_; }
  std::atomic<size_t> max_transfer{512 * 1024};

  Result<scsi::Reply> Execute(const scsi::Command& command) {
    VELLUM_CHECK(!command.cdb.empty());
    // Handlers are the device: one command at a time.
    MutexLock one(&device_);
    ScsiHandler handler;
    {
      MutexLock lock(&mu_);
      SentCommand sent;
      sent.cdb = command.cdb;
      sent.in_size = command.in.size();
      sent.timeout = command.timeout;
      for (const std::byte b : command.out) {
        sent.out.push_back(std::to_integer<uint8_t>(b));
      }
      log_.push_back(std::move(sent));
      handler = NextLocked(command.cdb[0]);
    }
    if (handler) return handler(command);
    ADD_FAILURE() << name_ << ": unexpected command "
                  << fmt::format("{:02X}", fmt::join(command.cdb, " "));
    return Check(0x5, 0x20, 0x00)(command);
  }

 private:
  ScsiHandler NextLocked(uint8_t operation) REQUIRES(mu_) {
    if (!interrupts_.empty()) {
      ScsiHandler handler = std::move(interrupts_.front());
      interrupts_.pop_front();
      return handler;
    }
    if (all_fail_) return all_fail_;
    if (!expected_.empty() && expected_.front().first == operation) {
      ScsiHandler handler = std::move(expected_.front().second);
      expected_.pop_front();
      return handler;
    }
    const auto it = always_.find(operation);
    return it == always_.end() ? ScsiHandler() : it->second;
  }

  const std::string name_;
  Mutex device_;  // before mu_
  Mutex mu_;
  std::deque<std::pair<uint8_t, ScsiHandler>> expected_ GUARDED_BY(mu_);
  std::map<uint8_t, ScsiHandler> always_ GUARDED_BY(mu_);
  std::deque<ScsiHandler> interrupts_ GUARDED_BY(mu_);
  ScsiHandler all_fail_ GUARDED_BY(mu_);
  std::vector<SentCommand> log_ GUARDED_BY(mu_);
};

class ScsiScript::ScriptedTransport : public scsi::Transport {
 public:
  explicit ScriptedTransport(std::shared_ptr<State> state)
      : state_(std::move(state)) {}
  Result<scsi::Reply> Execute(const scsi::Command& command) override {
    return state_->Execute(command);
  }
  size_t MaxTransfer() const override { return state_->max_transfer; }
  std::string Name() const override { return state_->name(); }

 private:
  const std::shared_ptr<State> state_;
};

ScsiScript::ScsiScript(std::string name)
    : state_(std::make_shared<State>(std::move(name))) {}

ScsiScript& ScsiScript::Then(uint8_t operation, ScsiHandler handler) {
  state_->Then(operation, std::move(handler));
  return *this;
}

ScsiScript& ScsiScript::BecomingReady(uint8_t operation, int count) {
  for (int i = 0; i < count; ++i) Then(operation, Check(2, 0x04, 0x01));
  return *this;
}

ScsiScript& ScsiScript::Always(uint8_t operation, ScsiHandler handler) {
  state_->Always(operation, std::move(handler));
  return *this;
}

ScsiScript& ScsiScript::Interrupt(ScsiHandler handler) {
  state_->Interrupt(std::move(handler));
  return *this;
}

ScsiScript& ScsiScript::AllFail(ScsiHandler handler) {
  state_->AllFail(std::move(handler));
  return *this;
}

ScsiScript& ScsiScript::MaxTransfer(size_t bytes) {
  state_->max_transfer = bytes;
  return *this;
}

bool ScsiScript::Done() const { return state_->Done(); }
std::vector<SentCommand> ScsiScript::Log() const { return state_->Log(); }

size_t ScsiScript::Count(uint8_t operation) const {
  const auto log = Log();
  return static_cast<size_t>(std::count_if(
      log.begin(), log.end(),
      [&](const SentCommand& sent) { return sent.cdb[0] == operation; }));
}

std::unique_ptr<scsi::Transport> ScsiScript::Open() const {
  return std::make_unique<ScriptedTransport>(state_);
}

}  // namespace vellum
