// SPDX-License-Identifier: Apache-2.0
// hostile_images CORPUS FOLDER COUNT SEED [MEDIA]: writes the media that the
// corpus of the targets udf_image, attach and journal describes, and COUNT more
// that are made from them and from the targets' seeds, as image files:
// FOLDER/TAG.img, and FOLDER/TAG.good.img where a library is to know the volume
// from before the damage. Each is a volume of its own, called V-TAG. Prints a
// line for each: tag, what it is made of.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "media/udf/layout.h"
#include "tests/fuzz/base_volume.h"
#include "tests/fuzz/image_file.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/ring_volume.h"
#include "tests/fuzz/sealed_patches.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temp_dir.h"

namespace vellum::fuzz {
namespace {

// The same under a name and identity of its own.
BaseVolume Like(const BaseVolume& base, const std::string& id) {
  return MakeBase(id, base.geometry.sectors);
}

struct Images {
  std::unique_ptr<MemoryMedium> hostile;
  std::unique_ptr<MemoryMedium> good;  // may be null
};

// Makes a good medium what the library has left of it; may be empty.
using Left = std::function<void(std::unique_ptr<MemoryMedium>*)>;

// As RunUdfImage takes its input apart.
Images OfUdfImage(Input input, const std::string& id, const Left&) {
  const uint8_t kind = input.Byte();
  const bool cut = (kind & 2) != 0;
  const BaseVolume base = Like(cut ? LargerBase() : Base(), id);
  const MemoryMedium& good = (kind & 1) != 0 ? *base.pending : *base.clean;
  Images images;
  images.hostile = cut ? CutOff(good, input.Word()) : good.Clone();
  ApplyPatches(&input, base.places, images.hostile.get());
  return images;
}

// As RunAttach does.
Images OfAttach(Input input, const std::string& id, const Left& left) {
  const uint8_t kind = input.Byte();
  const bool cut = (kind & 3) == 3;
  const BaseVolume base = Like(cut ? LargerBase() : Base(), id);
  const MemoryMedium& good = (kind & 1) != 0   ? *base.pending
                             : (kind & 2) != 0 ? *base.backup
                                               : *base.clean;
  input.Take(size_t{kind} >> 4);
  const uint16_t sectors = cut ? input.Word() : 0;
  Images images;
  std::unique_ptr<MemoryMedium> whole = good.Clone();
  if ((kind & 4) != 0) {
    images.good = good.Clone();
    if (left) left(&whole);
  }
  images.hostile = cut ? CutOff(*whole, sectors) : std::move(whole);
  ApplyPatches(&input, base.places, images.hostile.get());
  return images;
}

// As RunJournal does.
Images OfJournal(Input input, const std::string& id, const Left&) {
  const RingVolume rings = MakeRingVolume(id);
  const uint8_t kind = input.Byte();
  Images images;
  images.hostile =
      (kind & 1) != 0 ? rings.spilled->Clone() : rings.in_ring->Clone();
  if ((kind & 2) != 0) {
    images.hostile->Poke(uint64_t{udf::kSlotASector} * kSectorSize,
                         input.Take(300));
    images.hostile->Poke(uint64_t{rings.geometry.ring_first} * kSectorSize,
                         input.Take(size_t{4} * kSectorSize));
  } else {
    ApplyPatches(&input, rings.places, images.hostile.get());
  }
  return images;
}

struct Kind {
  const char* target;
  Images (*make)(Input input, const std::string& id, const Left& left);
};
constexpr Kind kKinds[] = {
    {"udf_image", OfUdfImage}, {"attach", OfAttach}, {"journal", OfJournal}};

struct Pool {
  std::vector<std::pair<std::string, Bytes>> corpus;  // by file name
  std::vector<Bytes> all;                             // with the seeds
};

Pool PoolOf(const Kind& kind, const std::string& corpus) {
  Pool pool;
  for (const auto& file :
       std::filesystem::directory_iterator(corpus + "/" + kind.target)) {
    pool.corpus.emplace_back(file.path().filename(),
                             ToBytes(ReadFileOrDie(file.path())));
  }
  std::sort(pool.corpus.begin(), pool.corpus.end());
  for (const auto& [name, input] : pool.corpus) pool.all.push_back(input);
  for (const Bytes& seed : FindTarget(kind.target)->seeds()) {
    pool.all.push_back(seed);
  }
  return pool;
}

class Writer {
 public:
  // `media`: nullptr: there are none.
  Writer(std::string folder, const char* media)
      : folder_(std::move(folder)), media_(media) {}

  void Write(const Kind& kind, const Bytes& input, const std::string& origin) {
    const std::string tag = fmt::format("H{:05}", ++number_);
    Left left;
    if (media_ != nullptr) {
      left = [path = fmt::format("{}/{}.img", media_, tag)](
                 std::unique_ptr<MemoryMedium>* medium) {
        *medium = ReadImage(path);
      };
    }
    const Images images = kind.make(Input(input), "V-" + tag, left);
    // A medium has whole regions.
    images.hostile->CutTo(images.hostile->Info().sectors / kRegionSectors *
                          kRegionSectors);
    WriteImage(*images.hostile, fmt::format("{}/{}.img", folder_, tag));
    if (images.good != nullptr) {
      WriteImage(*images.good, fmt::format("{}/{}.good.img", folder_, tag));
    }
    fmt::print("{} {} {}\n", tag, kind.target, origin);
  }

 private:
  const std::string folder_;
  const char* const media_;
  int number_ = 0;
};

void WriteAll(const std::string& corpus, const std::string& folder, int count,
              uint32_t seed, const char* media) {
  std::vector<Pool> pools;
  Writer writer(folder, media);
  for (const Kind& kind : kKinds) {
    pools.push_back(PoolOf(kind, corpus));
    for (const auto& [name, input] : pools.back().corpus) {
      writer.Write(kind, input, name);
    }
  }
  Mutator mutator(seed);
  for (int i = 0; i < count; ++i) {
    const size_t which = static_cast<size_t>(i) % std::size(kKinds);
    const std::vector<Bytes>& pool = pools[which].all;
    const bool sealed = i / std::size(kKinds) % 2 == 0;
    Bytes input;
    if (sealed) {
      // Good or pending, or also a backup, and some that the library knows.
      input = {std::byte(mutator.Below(which == 1 ? 8 : 2))};
      const Bytes patches = SealedPatches(&mutator);
      input.insert(input.end(), patches.begin(), patches.end());
    } else {
      input = mutator.Mutate(pool);
    }
    writer.Write(kKinds[which], input,
                 fmt::format("{} {}", sealed ? "patches" : "mutation", i + 1));
  }
}

}  // namespace
}  // namespace vellum::fuzz

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    std::fprintf(stderr,
                 "usage: hostile_images CORPUS FOLDER COUNT SEED [MEDIA]\n");
    return 2;
  }
  spdlog::set_level(spdlog::level::off);
  vellum::fuzz::WriteAll(
      argv[1], argv[2], std::atoi(argv[3]),
      static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 10)),
      argc == 6 ? argv[5] : nullptr);
  return 0;
}
