// SPDX-License-Identifier: Apache-2.0
// scsi_move CHANGER FROM TO: MOVE MEDIUM to a changer of an iSCSI target,
// before anything of Vellum runs (lab.py). Exit status 0: moved.
#include <cstdio>
#include <cstdlib>

#include "tests/support/iscsi_transport.h"

namespace {

constexpr uint8_t kMoveMedium = 0xA5;
constexpr uint8_t kTransportElement = 1;
constexpr int kTries = 3;  // a new session begins with unit attentions

int Move(vellum::scsi::Transport& changer, uint16_t from, uint16_t to) {
  vellum::scsi::Command command;
  command.cdb = {kMoveMedium,
                 0,
                 0,
                 kTransportElement,
                 static_cast<uint8_t>(from >> 8),
                 static_cast<uint8_t>(from),
                 static_cast<uint8_t>(to >> 8),
                 static_cast<uint8_t>(to),
                 0,
                 0,
                 0,
                 0};
  for (int i = 0; i < kTries; ++i) {
    const auto reply = changer.Execute(command);
    if (!reply.ok()) {
      std::fprintf(stderr, "scsi_move: %s\n", reply.error().message.c_str());
      return 1;
    }
    if (reply->status == vellum::scsi::kGood) return 0;
  }
  std::fprintf(stderr, "scsi_move: %s: %u to %u refused\n",
               changer.Name().c_str(), from, to);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: scsi_move CHANGER FROM TO\n");
    return 2;
  }
  const auto changer = vellum::IscsiTransport::Open(argv[1]);
  if (!changer.ok()) {
    std::fprintf(stderr, "scsi_move: %s\n", changer.error().message.c_str());
    return 1;
  }
  return Move(**changer, static_cast<uint16_t>(std::atoi(argv[2])),
              static_cast<uint16_t>(std::atoi(argv[3])));
}
