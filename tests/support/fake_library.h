// SPDX-License-Identifier: Apache-2.0
// A changer, drives and media in memory, for tests of what sits above them:
// quick, and every failure and delay is the test's choice. Addresses are those
// of the virtual library: drives from 256, import/export from 768, slots from
// 1024; media V00001, V00002, ... start in the first slots.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "media/changer.h"
#include "media/drive.h"
#include "media/mutex.h"
#include "tests/support/memory_medium.h"

namespace vellum {

struct FakeLibraryOptions {
  uint16_t slots = 8;
  uint16_t drives = 2;
  uint16_t import_export = 1;
  uint16_t media = 4;
  uint64_t sectors = 4096;  // 8 MiB
  bool two_sided = false;   // side B of V00001 is the content "V00001B"
  bool turns_in_drive = true;
  bool exchanges = false;
};

// Outlives the devices that it makes. Thread-safety: all methods may be called
// concurrently.
class FakeLibrary {
 public:
  explicit FakeLibrary(const FakeLibraryOptions& options = {});
  ~FakeLibrary();

  std::unique_ptr<Changer> MakeChanger();
  std::vector<std::unique_ptr<Drive>> MakeDrives();

  // What the medium holds, loaded or not.
  std::shared_ptr<MemoryMedium> Content(const VolumeTag& tag) const;
  // Where it is; 0 when it is in no element.
  ElementAddress WhereIs(const VolumeTag& tag) const;
  // By hand, past the changer. 0 takes it out of the library.
  void Place(const VolumeTag& tag, ElementAddress element);
  // As if it had been called `now` since it was made.
  void Relabel(const VolumeTag& tag, const VolumeTag& now);
  // The bar code cannot be read any more.
  void HideTags();

  // The next Open of that medium fails.
  void FailNextOpen(const VolumeTag& tag, Errc code);
  // Every call of what is open in the drive fails, until it is opened again.
  void LoseMedium(ElementAddress drive, Errc code);
  // The device of the drive is away: kOffline to everything. Or another one,
  // with this serial number, is in its place.
  void Unplug(ElementAddress drive, bool away);
  void Replace(ElementAddress drive, const std::string& serial);
  // The changer has something to tell: a unit attention.
  void TellChanged();
  // The next move fails, before or after the medium was moved.
  void FailNextMove(Errc code, bool after_moving);
  // Moves wait while held, as with a slow robot.
  void HoldMoves(bool hold);
  // Waits until a move is being held.
  void AwaitHeldMove();

  size_t moves() const;
  size_t loads() const;  // moves into drives
  size_t exchanges() const;
  size_t turns() const;
  bool moves_overlapped() const;

 private:
  friend class FakeChanger;
  friend class FakeDrive;
  struct Held {
    VolumeTag tag;
    std::optional<ElementAddress> source;
    bool turned = false;
  };
  class LossyMedium;

  Status Move(ElementAddress from, ElementAddress to, bool turn = false);
  Status MoveLocked(ElementAddress from, ElementAddress to, bool turn)
      REQUIRES(mu_);
  Status Exchange(ElementAddress from, ElementAddress to, ElementAddress rest);
  Result<std::string> SerialOf(ElementAddress drive) const;
  bool TakeChanged();
  std::vector<ElementStatus> Statuses() const;
  Result<std::unique_ptr<Medium>> OpenDrive(ElementAddress drive);
  void CloseDrive(ElementAddress drive);

  const FakeLibraryOptions options_;
  ElementMap map_;
  mutable Mutex mu_;  // a leaf
  CondVar cv_;
  std::map<ElementAddress, Held> places_ GUARDED_BY(mu_);
  std::map<VolumeTag, std::shared_ptr<MemoryMedium>> media_ GUARDED_BY(mu_);
  std::set<ElementAddress> in_use_ GUARDED_BY(mu_);
  std::map<VolumeTag, Errc> fail_open_ GUARDED_BY(mu_);
  std::map<ElementAddress, Errc> lost_ GUARDED_BY(mu_);
  std::set<ElementAddress> away_ GUARDED_BY(mu_);
  std::map<ElementAddress, std::string> serials_ GUARDED_BY(mu_);
  bool changed_ GUARDED_BY(mu_) = false;
  size_t exchanges_ GUARDED_BY(mu_) = 0;
  size_t turns_ GUARDED_BY(mu_) = 0;
  std::optional<Errc> fail_move_ GUARDED_BY(mu_);
  bool fail_after_moving_ GUARDED_BY(mu_) = false;
  bool hold_ GUARDED_BY(mu_) = false;
  bool tags_hidden_ GUARDED_BY(mu_) = false;
  size_t moving_ GUARDED_BY(mu_) = 0;
  size_t held_ GUARDED_BY(mu_) = 0;
  bool overlapped_ GUARDED_BY(mu_) = false;
  size_t moves_ GUARDED_BY(mu_) = 0;
  size_t loads_ GUARDED_BY(mu_) = 0;
};

}  // namespace vellum
