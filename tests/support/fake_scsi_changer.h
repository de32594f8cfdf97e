// SPDX-License-Identifier: Apache-2.0
// A media changer in memory that answers SCSI commands, with the habits of
// several makes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "media/element.h"
#include "tests/support/scripted_transport.h"

namespace vellum {

struct FakeScsiChangerOptions {
  ElementMap map{{{1}, 1}, {{1024}, 8}, {{768}, 1}, {{256}, 2}};
  bool volume_tags = true;
  bool identifiers = true;
  bool mode_sense_6 = true;
  bool address_page = true;
  bool exchange = true;
  bool turns = true;
  bool initialize_range = true;       // 37h
  bool initialize_range_old = false;  // E7h
  // All types in one command: as asked, refused, or 8 bytes short in each page.
  enum class AllTypes { kGood, kRefused, kShort } all_types = AllTypes::kGood;
  // 0 if none: READ ELEMENT STATUS refuses to be asked for this type alone;
  // 15: for any.
  int refused_type = 0;
  // The last bytes of each answer are not sent.
  size_t cut = 0;
  // Elements in one answer, at most.
  size_t most_elements = 65536;
  bool ignores_count = false;  // it answers with all that follow
  bool access_bits = true;
};

// Thread-safety: one command at a time, as ScsiScript sees to it; the rest
// between commands only.
class FakeScsiChanger {
 public:
  explicit FakeScsiChanger(FakeScsiChangerOptions options = {});

  // What Interrupt and Log are for.
  ScsiScript& script() { return script_; }
  std::unique_ptr<scsi::Transport> Open() { return script_.Open(); }

  // What it does with MOVE MEDIUM, for ScsiScript::Then.
  ScsiHandler MoveHandler() {
    return [this](const scsi::Command& command) { return Move(command); };
  }

  // By hand, behind the changer's back. REQUIRES: free / full.
  void Put(uint16_t element, const std::string& tag);
  void Take(uint16_t element);
  // Tag; nothing: empty.
  std::optional<std::string> At(uint16_t element) const;
  bool IsTurned(uint16_t element) const { return media_.at(element).turned; }
  // EXCEPT with this reason, until the medium is taken.
  void SetException(uint16_t element, uint8_t asc, uint8_t ascq);
  // MEDIUM TYPE of what is in the element: 2 cleans drives.
  void SetType(uint16_t element, uint8_t type) {
    media_.at(element).type = type;
  }
  // From now on it is becoming ready (2/04/01), for so many TEST UNIT READY.
  void TakeStock(int polls) { stock_polls_ = polls; }
  // Elements that READ ELEMENT STATUS leaves out.
  void Hide(uint16_t element) { hidden_[element] = true; }

 private:
  struct Medium {
    std::string tag;
    uint16_t source = 0;
    bool has_source = false;
    bool turned = false;
    uint8_t type = 0;
    uint8_t asc = 0;
    uint8_t ascq = 0;
    bool exception = false;
    bool by_hand = false;
  };

  Result<scsi::Reply> TestReady(const scsi::Command& command);
  Result<scsi::Reply> Inquiry(const scsi::Command& command);
  Result<scsi::Reply> ModeSense(const scsi::Command& command);
  Result<scsi::Reply> ReadStatus(const scsi::Command& command);
  Result<scsi::Reply> Move(const scsi::Command& command);
  Result<scsi::Reply> Exchange(const scsi::Command& command);
  std::vector<uint8_t> Page(int type, uint16_t first, size_t* left, bool tags,
                            bool identify) const;
  std::vector<uint8_t> Descriptor(int type, uint16_t address, bool tags,
                                  bool identify) const;
  bool Known(uint16_t element) const;
  void Carry(uint16_t from, uint16_t to, bool turn);

  const FakeScsiChangerOptions options_;
  ScsiScript script_{"/dev/fake"};
  std::map<uint16_t, Medium> media_;
  std::map<uint16_t, bool> hidden_;
  int stock_polls_ = 0;
};

}  // namespace vellum
