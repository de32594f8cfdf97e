// SPDX-License-Identifier: Apache-2.0
// Changes the image of a volume that a library made, as somebody hostile would.
//
// damage_image patch IMAGE SEED: structures, with right checksums.
// damage_image note IMAGE CATALOG SEED: one more redo record, whose note says
// to the library with that catalog, which no daemon has open, what the volume
// holds now. It is wrong, but with the seed 0.
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "index/commit_note.h"
#include "media/udf/bytes.h"
#include "media/udf/format.h"
#include "media/udf/journal.h"
#include "tests/fuzz/base_volume.h"
#include "tests/fuzz/checked.h"
#include "tests/fuzz/image_file.h"
#include "tests/fuzz/mutator.h"
#include "tests/fuzz/note_changes.h"
#include "tests/fuzz/sealed_patches.h"

namespace vellum::fuzz {

int Run(int argc, char** argv);

namespace {

void Patch(MemoryMedium* medium, uint32_t seed) {
  Mutator mutator(seed);
  const udf::Geometry geometry = Value(udf::ReadDescription(*medium)).geometry;
  const Bytes patches = SealedPatches(&mutator);
  Input input(patches);
  ApplyPatches(&input, FindPlaces(medium, geometry), medium);
}

VolumeRecord FindVolume(const Catalog& catalog, const std::string& medium) {
  for (const VolumeRecord& record : Value(catalog.Volumes())) {
    if (record.medium_uuid == medium) return record;
  }
  Check(Status(Errc::kNotFound, "the catalog does not know the volume"));
  return {};
}

CommitNote NoteOf(Catalog* catalog, const Known& after, uint32_t seed) {
  CommitNote note;
  note.catalog = Value(catalog->Identity());
  note.volume = after.record.index;
  note.generation = after.record.generation;
  note.base = note.generation.number - 1;
  CatalogBatch batch = BatchOf(after, note.volume);
  if (seed != 0) {
    Mutator mutator(seed);
    Bytes bytes(24);
    // Inodes, names and blocks of this volume: the rest is refused as a whole.
    for (std::byte& b : bytes) b = std::byte(mutator.Below(16));
    bytes[0] = std::byte{0};
    bytes[1] = std::byte(mutator.Below(5));
    Input input(bytes);
    ChangeBatch(&input, after, note.volume, &batch);
  }
  note.batch = batch.Serialize();
  return note;
}

void AddNote(MemoryMedium* medium, Catalog* catalog, uint32_t seed) {
  const udf::ControlSlot slot = Value(udf::ReadControlSlot(*medium));
  Known after = Recall(*catalog, FindVolume(*catalog, slot.medium_uuid));
  const udf::Geometry& geometry = after.record.geometry;
  const udf::ScanResult scan = Value(udf::ScanRing(*medium, geometry, slot));

  const auto lvid = std::make_shared<udf::Sector>();
  Check(medium->Read(udf::kLvidSector, *lvid));
  udf::Record record;
  record.header.format_uuid = slot.format_uuid;
  record.header.epoch = slot.epoch;
  record.header.role = slot.role;
  record.header.owner_id = slot.owner_id;
  record.header.generation = after.record.generation;
  ++record.header.generation.number;
  record.header.lvid_before = record.header.lvid_after = udf::Crc32c(*lvid);
  record.images.emplace(udf::kLvidSector, lvid);
  after.record.generation = record.header.generation;
  const auto write = [&](MemoryMedium* to) {
    udf::Journal journal(to, geometry, scan.next_sequence, scan.next_sector);
    Check(journal.Write(&record, {}));
  };
  // The note names the record's CRC, of which it is no part.
  write(medium->Clone().get());
  after.record.record_crc = record.header.crc;
  record.note = Encode(NoteOf(catalog, after, seed));
  write(medium);
}

uint32_t Number(const char* text) {
  return static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

}  // namespace

int Run(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  if (!(how == "patch" && argc == 4) && !(how == "note" && argc == 5)) {
    std::fprintf(stderr,
                 "usage: damage_image patch IMAGE SEED\n"
                 "       damage_image note IMAGE CATALOG SEED\n");
    return 2;
  }
  const std::unique_ptr<MemoryMedium> medium = ReadImage(argv[2]);
  if (how == "patch") {
    Patch(medium.get(), Number(argv[3]));
  } else {
    const std::unique_ptr<Catalog> catalog = Value(Catalog::Open(argv[3], {}));
    AddNote(medium.get(), catalog.get(), Number(argv[4]));
  }
  WriteImage(*medium, argv[2]);
  return 0;
}

}  // namespace vellum::fuzz

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::off);
  return vellum::fuzz::Run(argc, argv);
}
