// SPDX-License-Identifier: Apache-2.0
#include "copy/region_pump.h"

#include <xxhash.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "media/mutex.h"

namespace vellum {
namespace {

constexpr size_t kBuffers = 4;

// The queue between the two threads: empty buffers one way, full ones back.
class ChunkQueue {
 public:
  ChunkQueue() {
    for (size_t i = 0; i < kBuffers; ++i) {
      empty_.push_back(std::make_unique<RegionChunk>());
    }
  }

  // Null once the queue was closed.
  std::unique_ptr<RegionChunk> TakeEmpty() {
    MutexLock lock(&mu_);
    while (empty_.empty() && !closed_) changed_.Wait(&mu_);
    if (closed_) return nullptr;
    std::unique_ptr<RegionChunk> chunk = std::move(empty_.front());
    empty_.pop_front();
    return chunk;
  }
  void PutEmpty(std::unique_ptr<RegionChunk> chunk) {
    MutexLock lock(&mu_);
    empty_.push_back(std::move(chunk));
    changed_.NotifyAll();
  }
  void PutFull(std::unique_ptr<RegionChunk> chunk) {
    MutexLock lock(&mu_);
    full_.push_back(std::move(chunk));
    changed_.NotifyAll();
  }
  // Null when the reader has ended and everything was taken.
  std::unique_ptr<RegionChunk> TakeFull() {
    MutexLock lock(&mu_);
    while (full_.empty() && !ended_) changed_.Wait(&mu_);
    if (full_.empty()) return nullptr;
    std::unique_ptr<RegionChunk> chunk = std::move(full_.front());
    full_.pop_front();
    return chunk;
  }
  // The reader is done.
  void End(Status status) {
    MutexLock lock(&mu_);
    ended_ = true;
    status_ = std::move(status);
    changed_.NotifyAll();
  }
  // The writer gives up.
  void Close() {
    MutexLock lock(&mu_);
    closed_ = true;
    changed_.NotifyAll();
  }
  Status status() const {
    MutexLock lock(&mu_);
    return status_;
  }

 private:
  mutable Mutex mu_;  // leaf
  CondVar changed_;
  std::deque<std::unique_ptr<RegionChunk>> empty_ GUARDED_BY(mu_);
  std::deque<std::unique_ptr<RegionChunk>> full_ GUARDED_BY(mu_);
  bool ended_ GUARDED_BY(mu_) = false;
  bool closed_ GUARDED_BY(mu_) = false;
  Status status_ GUARDED_BY(mu_);
};

Status ReadAll(const std::vector<RegionSet::Run>& runs, uint64_t volume_sectors,
               uint64_t chunk_regions, const std::stop_token& stop,
               const std::function<Status(RegionChunk*)>& read,
               ChunkQueue* queue) {
  VELLUM_CHECK(chunk_regions > 0);
  uint64_t index = 0;
  for (const RegionSet::Run& run : runs) {
    for (uint64_t done = 0; done < run.count;) {
      if (stop.stop_requested()) return Status(Errc::kAborted, "cancelled");
      std::unique_ptr<RegionChunk> chunk = queue->TakeEmpty();
      if (chunk == nullptr) return Status::Ok();  // the writer's error counts
      chunk->first_region = run.first + done;
      chunk->regions = std::min(chunk_regions, run.count - done);
      chunk->index = index;
      chunk->hashes.clear();
      const uint64_t begin = chunk->first_region * kRegionSectors;
      const uint64_t end =
          std::min((chunk->first_region + chunk->regions) * kRegionSectors,
                   volume_sectors);
      VELLUM_CHECK(begin < end);
      chunk->sectors = {begin, end - begin};
      chunk->data.resize(chunk->sectors.count * kSectorSize);
      RETURN_IF_ERROR(read(chunk.get()));
      done += chunk->regions;
      index += chunk->regions;
      queue->PutFull(std::move(chunk));
    }
  }
  return Status::Ok();
}

Status ConsumeAll(const std::stop_token& stop,
                  const std::function<Status(RegionChunk&)>& consume,
                  ChunkQueue* queue) {
  while (std::unique_ptr<RegionChunk> chunk = queue->TakeFull()) {
    if (stop.stop_requested()) return Status(Errc::kAborted, "cancelled");
    RETURN_IF_ERROR(consume(*chunk));
    queue->PutEmpty(std::move(chunk));
  }
  return queue->status();
}

}  // namespace

ByteSpan RegionChunk::Region(uint64_t i) {
  const size_t at = i * kRegionSize;
  return ByteSpan(data).subspan(
      at, std::min<size_t>(kRegionSize, data.size() - at));
}

ConstByteSpan RegionChunk::Region(uint64_t i) const {
  const size_t at = i * kRegionSize;
  return ConstByteSpan(data).subspan(
      at, std::min<size_t>(kRegionSize, data.size() - at));
}

uint64_t HashRegion(ConstByteSpan data) {
  return XXH3_64bits(data.data(), data.size());
}

void HashChunk(RegionChunk* chunk) {
  chunk->hashes.resize(chunk->regions);
  for (uint64_t i = 0; i < chunk->regions; ++i) {
    chunk->hashes[i] =
        HashRegion(static_cast<const RegionChunk*>(chunk)->Region(i));
  }
}

Status PumpRegions(const RegionSet& regions, uint64_t volume_sectors,
                   std::stop_token stop,
                   const std::function<Status(RegionChunk*)>& read,
                   const std::function<Status(RegionChunk&)>& consume,
                   uint64_t chunk_regions) {
  const std::vector<RegionSet::Run> runs = regions.Runs();
  ChunkQueue queue;
  std::jthread reader([&] {
    Status status;
    try {
      status = ReadAll(runs, volume_sectors, chunk_regions, stop, read, &queue);
    } catch (const std::exception& e) {
      status = Status(Errc::kInternal, e.what());
    }
    queue.End(std::move(status));
  });
  // The reader must not outlive the queue, whatever `consume` throws.
  struct Closer {
    ChunkQueue* queue;
    ~Closer() { queue->Close(); }
  } closer{&queue};
  return ConsumeAll(stop, consume, &queue);
}

}  // namespace vellum
