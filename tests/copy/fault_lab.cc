// SPDX-License-Identifier: Apache-2.0
#include "tests/copy/fault_lab.h"

#include <fmt/format.h>

#include <fstream>
#include <set>
#include <utility>

#include "copy/file_tree.h"
#include "copy/library_catalog.h"
#include "copy/sector_map.h"
#include "media/udf/allocator.h"
#include "media/udf/control.h"
#include "media/udf/format.h"
#include "media/udf/fsck.h"
#include "media/udf/journal.h"
#include "media/udf/reader.h"

namespace vellum {
namespace {

constexpr uint16_t kFirstSlot = 1024;  // of a FakeLibrary

using CatalogFault = FaultyFileSystem::Fault;

Status ReadBelow(const udf::Reader& reader, uint32_t block,
                 const std::string& path, FileTreeText* tree) {
  ASSIGN_OR_RETURN(const udf::FileEntry entry, reader.ReadEntry(block));
  const std::string name = path.empty() ? "/" : path;
  switch (entry.attr.type) {
    case udf::FileType::kSymlink:
      (*tree)[name] = "-> " + entry.symlink_target;
      return Status::Ok();
    case udf::FileType::kDirectory: {
      (*tree)[name] = "dir";
      ASSIGN_OR_RETURN(const std::vector<udf::DirEntry> entries,
                       reader.ReadDirectory(entry));
      for (const udf::DirEntry& child : entries) {
        RETURN_IF_ERROR(ReadBelow(reader, child.fid.icb_block,
                                  path + "/" + child.fid.name, tree));
      }
      return Status::Ok();
    }
    default:
      break;
  }
  std::string& content = (*tree)[name];
  content.resize(entry.attr.size);
  return reader.ReadFile(entry, 0, std::as_writable_bytes(std::span(content)))
      .status();
}

std::string DescribeDifference(const FileTreeText& have,
                               const FileTreeText& want) {
  for (const auto& [path, text] : want) {
    const auto it = have.find(path);
    if (it == have.end()) return path + " is missing";
    if (it->second != text) return path + " differs";
  }
  for (const auto& [path, text] : have) {
    if (want.count(path) == 0) return path + " is too much";
  }
  return {};
}

std::string CheckFiles(const FileTreeText& have,
                       const std::vector<FileTreeText>& trees) {
  for (const auto& [path, text] : have) {
    // Being written; nobody but the copier looks at it.
    if (path.find("/.vellum") != std::string::npos) continue;
    bool known = false;
    for (const FileTreeText& tree : trees) {
      const auto it = tree.find(path);
      known = known || (it != tree.end() && it->second == text);
    }
    if (!known) return path + " is neither the old nor the new one";
  }
  return {};
}

// `released`: flags that a release clears may be cleared.
std::string FindErrors(Medium& medium, bool released) {
  const Result<udf::FsckReport> report = udf::CheckVolume(medium, {});
  if (!report.ok()) return "fsck: " + report.error().ToString();
  for (const auto& error : report->errors) {
    if (released &&
        error.text.find("is not as format writes it") != std::string::npos) {
      continue;
    }
    return fmt::format("fsck: sector {}: {}", error.sector, error.text);
  }
  return {};
}

// Brings the volume to what a reader would see.
Status Replay(MemoryMedium* medium) {
  ASSIGN_OR_RETURN(const udf::ControlSlot slot, udf::ReadControlSlot(*medium));
  ASSIGN_OR_RETURN(const udf::VolumeDescription description,
                   udf::ReadDescription(*medium));
  ASSIGN_OR_RETURN(const udf::ReplayResult replay,
                   udf::ReplayJournal(*medium, description.geometry, slot));
  if (replay.outcome == udf::ReplayOutcome::kForeign) {
    return Status(Errc::kCorruption, "looks as if another system wrote to it");
  }
  return Status::Ok();
}

// As a reader that knows nothing of Vellum.
Result<FileTreeText> ReadPlain(MemoryMedium* medium) {
  ASSIGN_OR_RETURN(const auto reader, udf::Reader::Open(medium));
  FileTreeText tree;
  RETURN_IF_ERROR(ReadBelow(*reader, reader->root_block(), "", &tree));
  return tree;
}

std::string CompareTree(const Result<FileTreeText>& have,
                        const std::vector<FileTreeText>& trees) {
  if (!have.ok()) return ": " + have.error().ToString();
  std::string differences;
  for (const FileTreeText& want : trees) {
    const std::string difference = DescribeDifference(*have, want);
    if (difference.empty()) return {};
    differences += "; " + difference;
  }
  return " holds none of the trees" + differences;
}

}  // namespace

Result<FileTreeText> ReadTree(const MemoryMedium& medium) {
  const std::unique_ptr<MemoryMedium> copy = medium.Clone();
  RETURN_IF_ERROR(Replay(copy.get()));
  return ReadPlain(copy.get());
}

// --- Sessions
// ---------------------------------------------------------------------

FaultLab::FaultLab(const FaultLabOptions& options) : options_(options) {
  MakeShelf();
  for (int n = 1; n <= options_.media; ++n) {
    contents_[Tag(n)] = MakeBlank(Tag(n));
    if (options_.write_once && n > 1) written_[Tag(n)] = WrittenState::kBlank;
  }
  job_options_.spool_directory = SpoolPath();
  // Copies by file commit more than once.
  job_options_.file_batch_bytes = 64 << 10;
  // 256 KiB, so that cuts fall inside copies of such small media.
  job_options_.chunk_regions = 4;
}

FaultLab::~FaultLab() { Close(); }

std::shared_ptr<MemoryMedium> FaultLab::MakeBlank(const VolumeTag& tag) const {
  MemoryMediumOptions medium;
  medium.sectors = options_.sectors;
  medium.name = tag;
  return std::make_shared<MemoryMedium>(medium);
}

void FaultLab::MakeShelf() {
  FakeLibraryOptions options;
  options.drives = options_.drives;
  options.media = options_.media;
  options.import_export = options_.doors;
  options.sectors = options_.sectors;
  shelf_ = std::make_unique<FakeLibrary>(options);
  for (const auto& [tag, element] : start_places_) shelf_->Place(tag, element);
}

void FaultLab::CutPower() { catalog_disk_->SetFault(CatalogFault::kNoPower); }

Status FaultLab::Open() {
  log_.clear();
  catalog_disk_ = std::make_shared<FaultyFileSystem>();
  const auto power = [disk = catalog_disk_] { return disk->power(); };
  const auto cut = [this] { CutPower(); };
  spool_disk_ = std::make_unique<SpoolFaults>(SpoolPath(), power, cut);
  hold_ = std::make_unique<Hold>();
  media_ = std::make_unique<FaultMedia>(power, cut, hold_.get());
  devices_ = std::make_unique<FaultDevices>(power, media_.get(), hold_.get());
  for (const auto& [tag, content] : contents_) {
    const auto written = written_.find(tag);
    if (written == written_.end()) {
      media_->Add(tag, *content);
    } else {
      media_->AddWriteOnce(tag, *content, written->second);
    }
  }
  Catalog::Options catalog;
  catalog.env = MakeEnv(catalog_disk_);
  catalog.cache_bytes = 0;  // every look-up reads
  ASSIGN_OR_RETURN(catalog_, Catalog::Open(CatalogPath(), catalog));
  std::vector<std::unique_ptr<Drive>> drives;
  for (auto& drive : shelf_->MakeDrives()) {
    drives.push_back(devices_->Wrap(std::move(drive)));
  }
  ASSIGN_OR_RETURN(
      library_,
      Library::Open(devices_->Wrap(shelf_->MakeChanger()), std::move(drives)));
  VolumesOptions volumes;
  volumes.checkpoint_interval_ms = 0;
  volumes.min_residency_ms = 1;
  volumes.exclude_wait_ms = 500;
  volumes.workers = 2;
  ASSIGN_OR_RETURN(volumes_,
                   Volumes::Open(catalog_.get(), library_.get(), volumes));
  ASSIGN_OR_RETURN(jobs_, Jobs::Open(catalog_.get(), library_.get(),
                                     volumes_.get(), job_options_));
  return Status::Ok();
}

void FaultLab::TakeContents(const std::optional<CrashOptions>& crash) {
  for (auto& [tag, content] : contents_) {
    const CrashMedium& found = media_->content(tag);
    content = crash ? found.ContentAfterCrash(found.EventCount(), *crash)
                    : found.Content();
    if (const auto it = written_.find(tag); it != written_.end()) {
      it->second = media_->written(tag);
    }
  }
}

void FaultLab::Close() {
  if (media_ == nullptr) return;
  jobs_.reset();
  volumes_.reset();
  library_.reset();
  catalog_.reset();
  catalog_disk_->LoseFailed(catalog_loses_);
  catalog_loses_ = 0;
  TakeContents(std::nullopt);
  devices_.reset();
  media_.reset();
  spool_disk_.reset();
}

void FaultLab::Die(LabDeath death, uint64_t seed) {
  CutPower();
  jobs_.reset();
  volumes_.reset();
  library_.reset();
  catalog_.reset();
  catalog_disk_->LoseUnsynced(seed);
  spool_disk_->LoseUnsynced(seed);
  CrashOptions crash;
  crash.unflushed = death;
  crash.seed = seed;
  TakeContents(crash);
  devices_.reset();
  media_.reset();
  spool_disk_.reset();
}

void FaultLab::SaveStart() {
  Close();
  start_.contents = contents_;
  start_.written = written_;
  for (const VolumeTag& tag : tags()) start_places_[tag] = shelf_->WhereIs(tag);
  std::filesystem::copy(CatalogPath(), dir_.Sub("start"),
                        std::filesystem::copy_options::recursive);
}

void FaultLab::GoToStart() {
  MakeShelf();
  contents_ = start_.contents;
  written_ = start_.written;
  std::filesystem::remove_all(SpoolPath());
  GoToStartOfCatalog();
}

void FaultLab::GoToStartOfCatalog() {
  RemoveCatalog();
  std::filesystem::copy(dir_.Sub("start"), CatalogPath(),
                        std::filesystem::copy_options::recursive);
}

void FaultLab::RemoveCatalog() { std::filesystem::remove_all(CatalogPath()); }

Status FaultLab::RebuildCatalog() {
  RETURN_IF_ERROR(OpenLibraryCatalog(CatalogPath(), {}).status());
  RETURN_IF_ERROR(Open());
  return Reindex(archive(), ReindexMode::kReset).status();
}

Status FaultLab::SalvageCatalog() {
  const auto missed = [](const std::string& what) {
    return Status(Errc::kInternal, "a damaged catalog: " + what);
  };
  {
    ASSIGN_OR_RETURN(const auto catalog, OpenLibraryCatalog(CatalogPath(), {}));
    ASSIGN_OR_RETURN(const auto note, SalvageNote(*catalog));
    if (!note) return missed("nobody is told");
    // What became of it, and what to do.
    for (const std::string& part :
         {"was made anew; the damaged one is kept as " + CatalogPath(),
          std::string("Jobs that had not ended are failed"),
          std::string("`vellum reindex --reset` reads all media now")}) {
      if (note->find(part) == std::string::npos) {
        return missed("not told: " + part);
      }
    }
  }
  RETURN_IF_ERROR(Open());
  for (const JobRecord& job : jobs_->List()) {
    if (JobEnded(job.state)) continue;
    return missed(fmt::format("job {} goes on", job.id));
  }
  RETURN_IF_ERROR(Reindex(archive(), ReindexMode::kReset).status());
  ASSIGN_OR_RETURN(const auto note, SalvageNote(*catalog_));
  return note ? missed("told after all media were read") : Status::Ok();
}

void FaultLab::DamageCatalog() {
  std::string manifest;
  std::ifstream(CatalogPath() + "/CURRENT") >> manifest;
  manifest = CatalogPath() + "/" + manifest;
  const auto middle =
      static_cast<std::streamoff>(std::filesystem::file_size(manifest) / 2);
  std::fstream file(manifest, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(middle);
  file << std::string(40, '\0');
}

Status FaultLab::Heal() {
  media_->Clear();
  spool_disk_->Clear();
  // It would ask by itself after LibraryOptions::retry_drives.
  return devices_->Clear() ? library_->Rescan() : Status::Ok();
}

// --- What is done
// -----------------------------------------------------------------

Status FaultLab::Put(const std::string& volume, const std::string& path,
                     const std::string& content) {
  ASSIGN_OR_RETURN(VolumeUse use, volumes_->Use(volumes_->Find(volume)));
  const std::vector<std::string> names = PathNames(path);
  InodeNumber at = use->root();
  for (size_t i = 0; i < names.size(); ++i) {
    Result<Attr> next = use->Lookup(at, names[i]);
    if (!next.ok()) {
      NewInode inode;
      if (i + 1 < names.size()) {
        inode.type = udf::FileType::kDirectory;
        inode.mode = 0755;
      }
      next = use->Create(at, names[i], inode);
    }
    if (!next.ok()) return next.status();
    at = next->ino;
  }
  AttrChange cut;
  cut.size = 0;
  RETURN_IF_ERROR(use->SetAttr(at, cut).status());
  return use
      ->Write(at, 0, std::as_bytes(std::span(content.data(), content.size())))
      .status();
}

Status FaultLab::Unlink(const std::string& volume, const std::string& name) {
  ASSIGN_OR_RETURN(VolumeUse use, volumes_->Use(volumes_->Find(volume)));
  return use->Unlink(use->root(), name);
}

Status FaultLab::Finish(const Result<JobId>& job) {
  if (!job.ok()) return job.status();
  ASSIGN_OR_RETURN(const JobRecord record, jobs_->Wait(*job));
  for (const std::string& line : record.log) log_ += line + "\n";
  if (record.state == JobState::kDone) return Status::Ok();
  return Status(record.error, record.message);
}

Status FaultLab::FinishAll() {
  Status status;
  for (const JobRecord& job : jobs_->List()) {
    const bool ended = JobEnded(job.state);
    const Status one = Finish(job.id);
    if (!ended && status.ok()) status = one;
  }
  return status;
}

// --- What is looked at
// ------------------------------------------------------------

std::vector<VolumeTag> FaultLab::tags() const {
  std::vector<VolumeTag> all;
  for (const auto& entry : contents_) all.push_back(entry.first);
  return all;
}

bool FaultLab::NamesSomething(const std::string& message) const {
  for (const auto& entry : contents_) {
    if (message.find(entry.first) != std::string::npos) return true;
  }
  for (const auto& volume : volumes_->List()) {
    if (message.find(volume->id()) != std::string::npos) return true;
  }
  // Of an inventory of the elements nothing else can be named; a move has its
  // elements, a drive its own.
  if (message.find("changer: move from ") != std::string::npos ||
      message.find("drive 256: ") != std::string::npos) {
    return true;
  }
  return message.find(dir_.Sub("")) != std::string::npos ||
         message.find("changer: inventory") != std::string::npos;
}

std::string FaultLab::FindLeaks() {
  for (const auto& volume : volumes_->List()) {
    const MediumId medium = volume->record().medium;
    if (!library_->FindMedium(medium).ok()) continue;
    const auto exclusion = volumes_->Exclude(volume);
    if (!exclusion.ok()) return "exclude: " + exclusion.error().ToString();
    const Status home = library_->SendHome(medium);
    if (!home.ok()) return "send home: " + home.ToString();
  }
  for (const MediumPlace& place : library_->Media()) {
    if (!place.loaded) continue;
    const Status home = library_->SendHome(place.id);
    if (!home.ok()) return "send home: " + home.ToString();
  }
  for (const MediumPlace& place : library_->Media()) {
    if (place.loaded) return place.id + " is in a drive still";
  }
  for (const VolumeTag& tag : tags()) {
    const ElementAddress at = shelf_->WhereIs(tag);
    const Result<MediumPlace> known = library_->FindMedium(tag);
    if (known.ok() && known->element == at && known->home == at) continue;
    return fmt::format(
        "{} is in element {}, and the library says: {}", tag, at.value,
        known.ok() ? ToString(known->element) : known.error().ToString());
  }
  for (const auto& entry : std::filesystem::directory_iterator(SpoolPath())) {
    return "left in the spool: " + entry.path().filename().string();
  }
  return {};
}

Result<udf::ControlSlot> FaultLab::ReadSlot(const VolumeTag& tag,
                                            const MemoryMedium& content,
                                            WrittenState written) const {
  std::shared_ptr<MemoryMedium> copy = content.Clone();
  if (written_.count(tag) == 0) return udf::ReadControlSlot(*copy);
  WriteOnceMedium disc(ShareMedium(std::move(copy)), written,
                       [](WrittenState) { return Status::Ok(); });
  return udf::ReadControlSlot(disc);
}

std::string FaultLab::CompareCatalog(const VolumeTag& other_label,
                                     const std::set<VolumeTag>& forgotten) {
  std::set<VolumeTag> known;
  for (const auto& volume : volumes_->List()) {
    const VolumeRecord record = volume->record();
    if (contents_.count(record.medium) == 0) continue;
    known.insert(record.medium);
    const std::unique_ptr<MemoryMedium> medium =
        media_->content(record.medium).Content();
    const Result<udf::ControlSlot> slot =
        ReadSlot(record.medium, *medium, media_->written(record.medium));
    // A spoiled one is INCOMPLETE, whatever was written on it.
    if (written_.count(record.medium) != 0 &&
        record.state == udf::SlotState::kIncomplete) {
      continue;
    }
    if (!slot.ok()) {
      return fmt::format("{} is known, but is not on {}: {}", record.id,
                         record.medium, slot.error().ToString());
    }
    if ((slot->volume_id != record.id && record.medium != other_label) ||
        slot->role != record.role || slot->medium_uuid != record.medium_uuid ||
        (slot->role == udf::Role::kBackup && slot->state != record.state)) {
      return fmt::format(
          "the catalog says {} (role {}, state {}) of {}, the "
          "medium {} (role {}, state {})",
          record.id, static_cast<int>(record.role),
          static_cast<int>(record.state), record.medium, slot->volume_id,
          static_cast<int>(slot->role), static_cast<int>(slot->state));
    }
    if (slot->role == udf::Role::kPrimary &&
        slot->threshold != record.threshold) {
      return fmt::format("the catalog says threshold {} of {}, the medium {}",
                         record.threshold, record.id, slot->threshold);
    }
    // That of a disc which a job closed before it failed is read when somebody
    // wants it.
    if (record.tree != TreeState::kValid && record.location.empty() &&
        record.state != udf::SlotState::kIncomplete &&
        (written_.count(record.medium) == 0 || !volumes_->Use(volume).ok() ||
         volume->record().tree != TreeState::kValid)) {
      return "the tree of " + record.id + " is not in the catalog";
    }
  }
  for (const VolumeTag& tag : tags()) {
    const std::unique_ptr<MemoryMedium> medium = media_->content(tag).Content();
    if (known.count(tag) == 0 && forgotten.count(tag) == 0 &&
        udf::ReadControlSlot(*medium).ok()) {
      return "the volume on " + tag + " is not known";
    }
  }
  return {};
}

std::string FaultLab::CheckMedium(const VolumeTag& tag, const Allowed& allowed,
                                  bool* needs_announcement) {
  *needs_announcement = false;
  const std::unique_ptr<MemoryMedium> medium = contents_.at(tag)->Clone();
  const auto written = written_.find(tag);
  const Result<udf::ControlSlot> slot = ReadSlot(
      tag, *medium,
      written == written_.end() ? WrittenState::kOpen : written->second);
  if (!slot.ok()) {
    if (allowed.nothing) return {};
    if (allowed.released) {
      const std::string wrong =
          CompareTree(ReadPlain(medium.get()), allowed.trees);
      return wrong.empty() ? "" : tag + ", released" + wrong;
    }
    return tag + " holds no volume: " + slot.error().ToString();
  }
  if (slot->state == udf::SlotState::kIncomplete) {
    if (allowed.incomplete) return {};
    *needs_announcement = allowed.announced;
    return allowed.announced ? "" : tag + " is INCOMPLETE";
  }
  if (const Status replayed = Replay(medium.get()); !replayed.ok()) {
    if (allowed.nothing) return {};
    return fmt::format("{} (state {}): {}", tag, static_cast<int>(slot->state),
                       replayed.ToString());
  }
  if (std::string errors = FindErrors(*medium, allowed.released);
      !errors.empty()) {
    return tag + ": " + errors;
  }
  const Result<FileTreeText> tree = ReadTree(*medium);
  if (tree.ok() && allowed.by_file) {
    const std::string wrong = CheckFiles(*tree, allowed.trees);
    return wrong.empty() ? "" : tag + ": " + wrong;
  }
  const std::string wrong = CompareTree(tree, allowed.trees);
  return wrong.empty() ? "" : tag + wrong;
}

std::string FaultLab::CompareSectors(const VolumeTag& primary,
                                     const VolumeTag& backup) {
  const std::unique_ptr<MemoryMedium> a = contents_.at(primary)->Clone();
  const std::unique_ptr<MemoryMedium> b = contents_.at(backup)->Clone();
  const auto description = udf::ReadDescription(*b);
  if (!description.ok()) return backup + ": " + description.error().message;
  auto bitmap = udf::ReadBitmap(*b, description->geometry);
  if (!bitmap.ok()) return backup + ": " + bitmap.error().message;
  const SectorMap map(description->geometry, std::move(*bitmap));
  udf::Sector x, y;
  for (uint64_t s = 0; s < description->geometry.sectors; ++s) {
    if (!map.Uses(s) || s == udf::kLvidSector) continue;
    if (!a->Read(s, x).ok() || !b->Read(s, y).ok() || x != y) {
      return fmt::format("{} and {} differ in sector {}", primary, backup, s);
    }
  }
  return {};
}

void FaultLab::Blank(const VolumeTag& tag) {
  contents_[tag] = MakeBlank(tag);
  const auto written = written_.find(tag);
  if (written != written_.end()) written->second = WrittenState::kBlank;
}

void FaultLab::Spoil(const VolumeTag& tag, uint64_t sector) {
  std::shared_ptr<MemoryMedium> spoilt = contents_.at(tag)->Clone();
  std::byte one{};
  spoilt->Peek(sector * kSectorSize + 100, {&one, 1});
  one ^= std::byte{1};
  spoilt->Poke(sector * kSectorSize + 100, {&one, 1});
  contents_[tag] = std::move(spoilt);
}

std::string FaultLab::CheckPlaces(
    const std::map<VolumeTag, ElementAddress>& places) const {
  for (const auto& [tag, start] : start_places_) {
    const auto other = places.find(tag);
    const ElementAddress want = other == places.end() ? start : other->second;
    const ElementAddress at = shelf_->WhereIs(tag);
    const bool any = want == ElementAddress();
    if (at == want || (any && at.value >= kFirstSlot)) continue;
    return fmt::format("{} is in element {}, not in {}", tag, at.value,
                       want.value);
  }
  return {};
}

}  // namespace vellum
