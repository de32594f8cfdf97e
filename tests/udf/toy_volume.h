// SPDX-License-Identifier: Apache-2.0
// The smallest volume that uses journal, allocator and control slots the way a
// real one does, for crash tests.
//
// Cells stand for inodes: sectors with a fixed place, overwritten in place.
// Each names a block of data, which moves to a free block with every change. A
// generation changes some cells, the bitmap and the LVID, and every byte of
// what it should look like is known.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "media/udf/allocator.h"
#include "media/udf/control.h"
#include "media/udf/journal.h"
#include "media/udf/layout.h"

namespace vellum::udf {

// What one generation holds.
struct ToyState {
  struct Cell {
    uint64_t value = 0;
    uint32_t data = 0;  // block
  };
  uint64_t number = 0;
  uint64_t nonce = 0;  // tells two generations of one number apart
  std::vector<Cell> cells;
};
using ToyStatePtr = std::shared_ptr<const ToyState>;

// Mistakes that the harness must notice.
struct ToyMistakes {
  bool no_replay = false;
  bool no_flush_before_replay = false;
  bool place_before_flush = false;   // S4 without F2
  bool reuse_at_once = false;        // freed blocks without waiting for S4
  bool release_spill_early = false;  // before the next record is durable
  // Of a record without a flush before it: what it must hold.
  bool forget_behind = false;  // cells that the one before has put in place
  bool forget_data = false;    // data of this generation
};

struct ToyOptions {
  uint32_t sectors = 8192;
  uint32_t cells = 200;
  uint32_t unit = 1;       // blocks that a piece of data takes: the atomic unit
  bool one_flush = false;  // small generations have no flush before the record
  ToyMistakes mistakes;
};

// Told of everything that decides what a crash may leave.
struct ToyObserver {
  std::function<void(const ToyStatePtr&)> attempt;    // S3 begins
  std::function<void(const ToyStatePtr&)> committed;  // F2 is over
};

// Blocks of the volume that are used whatever it holds, and where cells are.
Geometry ToyGeometry(const ToyOptions& options);

// Makes generation 0.
ToyStatePtr FormatToy(Medium& medium, const ToyOptions& options);

class ToyVolume {
 public:
  // Recovers what is on the medium and opens it for writing. `state`, one of
  // `candidates`, is what was found; any other content is an error.
  static Result<std::unique_ptr<ToyVolume>> Mount(
      Medium* medium, const ToyOptions& options, ToyObserver observer,
      const std::vector<ToyStatePtr>& candidates, uint64_t seed);

  // Changes `count` cells and commits, with changes of the next generation in
  // between.
  Status Commit(size_t count);

  const ToyStatePtr& state() const { return committed_; }
  uint64_t spilled() const { return spilled_; }  // records so far
  uint64_t one_flush() const { return one_flush_; }

 private:
  ToyVolume(Medium* medium, const ToyOptions& options, ToyObserver observer,
            const Geometry& geometry)
      : medium_(medium),
        options_(options),
        observer_(std::move(observer)),
        geometry_(geometry) {}
  Status Change(size_t count);
  // Gives a small record all that is not durable; false: it is not small.
  bool Complete(Record* record, const SectorImages& data);
  uint32_t Piece() const { return options_.unit; }

  Medium* const medium_;
  const ToyOptions options_;
  const ToyObserver observer_;
  const Geometry geometry_;
  ControlSlot slot_;
  std::mt19937_64 rng_;
  std::unique_ptr<Allocator> allocator_;
  std::unique_ptr<Journal> journal_;
  ToyStatePtr committed_;
  ToyState next_;
  std::vector<uint32_t> changed_;  // cells
  std::vector<BlockRun> spill_;    // of the newest durable record
  uint32_t hint_ = 0;              // where data goes, if it can
  uint64_t spilled_ = 0;
  uint64_t one_flush_ = 0;
  SectorImages written_;  // data of the next generation
  SectorImages behind_;   // put in place, not flushed
  uint32_t lvid_oldest_ = 0;
};

// Compares every byte that `state` decides with the medium.
Status CheckToy(Medium& medium, const ToyOptions& options,
                const ToyState& state);

}  // namespace vellum::udf
