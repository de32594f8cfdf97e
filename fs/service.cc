// SPDX-License-Identifier: Apache-2.0
#include "fs/service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <tuple>
#include <utility>

#include "copy/clearing.h"
#include "copy/library_catalog.h"
#include "copy/medium_notes.h"
#include "fs/commands.h"
#include "media/library_devices.h"

namespace vellum {
namespace {

bool HooksDiffer(const HookCommands& a, const HookCommands& b) {
  const auto all = [](const HookCommands& h) {
    return std::tie(h.before_copy, h.after_copy, h.before_restore,
                    h.after_restore, h.timeout_s);
  };
  return all(a) != all(b);
}

}  // namespace

Service::Service(const ServiceOptions& options, LibraryLock lock)
    : options_(options),
      started_(Now()),
      lock_(std::move(lock)),
      current_(options.config) {}

Result<std::unique_ptr<Service>> Service::Open(const ServiceOptions& options,
                                               LibraryLock lock) {
  const LibraryConfig& config = options.config;
  std::unique_ptr<Service> service(new Service(options, std::move(lock)));

  Catalog::Options catalog_options;
  catalog_options.cache_bytes = options.catalog_cache_bytes;
  ASSIGN_OR_RETURN(
      service->catalog_,
      OpenLibraryCatalog(config.directory + "/catalog", catalog_options));

  ASSIGN_OR_RETURN(LibraryDevices devices, OpenLibraryDevices(config));
  service->manual_ = devices.manual;
  service->changer_controls_ = devices.changer_controls;
  service->virtual_controls_ = devices.virtual_controls;
  service->auxiliary_ =
      AuxiliaryBook::Open(config.directory + "/state/auxiliary.json");
  LibraryOptions library_options;
  library_options.hooks = service->auxiliary_->Hooks();
  library_options.hooks.loaded = [catalog = service->catalog_.get(),
                                  counted =
                                      std::move(library_options.hooks.loaded)](
                                     const MediumId& medium,
                                     ElementAddress drive,
                                     std::unique_ptr<Medium> opened) {
    const Status noted = NoteWriteProtection(catalog, medium, opened->Info());
    if (!noted.ok()) {
      spdlog::error("medium {}: {}", medium, noted.ToString());
    }
    return counted(medium, drive, std::move(opened));
  };
  ASSIGN_OR_RETURN(service->library_,
                   Library::Open(std::move(devices.changer),
                                 std::move(devices.drives), library_options));
  for (const ElementAddress drive : service->auxiliary_->OfflineDrives()) {
    const Status offline = service->library_->SetDriveOnline(drive, false);
    // A drive that is not there any more.
    if (!offline.ok()) spdlog::warn("at start: {}", offline.ToString());
  }

  VolumesOptions volumes_options;
  volumes_options.checkpoint_interval_ms = config.checkpoint_interval_ms;
  volumes_options.volume.overlay_limit = config.overlay_limit;
  volumes_options.volume.spool_directory = config.directory + "/spool";
  volumes_options.on_tree_replaced = [raw = service.get()] {
    const ServiceHooks hooks = raw->hooks();
    if (hooks.changed) hooks.changed();
  };
  volumes_options.on_displaced = [catalog = service->catalog_.get()](
                                     const MediumId& medium,
                                     udf::MediumContent content,
                                     const MediumInfo& info) {
    const Status noted = NoteLoaded(catalog, medium, content, info);
    if (!noted.ok()) spdlog::error("medium {}: {}", medium, noted.ToString());
  };
  ASSIGN_OR_RETURN(service->volumes_,
                   Volumes::Open(service->catalog_.get(),
                                 service->library_.get(), volumes_options));

  JobsOptions jobs_options;
  jobs_options.spool_directory = config.directory + "/spool";
  jobs_options.spool_limit = config.spool_limit;
  jobs_options.running = config.simultaneous_copies;
  jobs_options.generations = config.generations;
  jobs_options.tracked_pairs = config.tracked_pairs;
  jobs_options.hooks = config.hooks;
  jobs_options.library = config.directory;
  jobs_options.pool_first = ElementAddress{config.copy_start};
  jobs_options.pool_last = ElementAddress{config.copy_end};
  jobs_options.on_transition = [raw = service.get()](const JobRecord&) {
    const ServiceHooks hooks = raw->hooks();
    if (hooks.changed) hooks.changed();
    return Status::Ok();
  };
  ASSIGN_OR_RETURN(service->jobs_,
                   Jobs::Open(service->catalog_.get(), service->library_.get(),
                              service->volumes_.get(), jobs_options));
  service->stages_ = std::make_unique<Stages>(service->library_.get(),
                                              service->volumes_.get());
  return service;
}

Service::~Service() {
  StopWork();
  StopVolumes();
  stages_.reset();
  jobs_.reset();
  volumes_.reset();
  if (library_) library_->Shutdown();
}

void Service::SetHooks(ServiceHooks hooks) {
  MutexLock lock(&mu_);
  hooks_ = std::move(hooks);
}

ServiceHooks Service::hooks() const {
  MutexLock lock(&mu_);
  return hooks_;
}

Archive Service::archive() const {
  Archive archive;
  archive.catalog = catalog_.get();
  archive.library = library_.get();
  archive.volumes = volumes_.get();
  return archive;
}

PoolRange Service::pool_range() const {
  return {ElementAddress{config().copy_start},
          ElementAddress{config().copy_end}};
}

Result<Json> Service::Execute(const std::string& command,
                              std::stop_token stop) {
  try {
    ASSIGN_OR_RETURN(CommandLine line, ParseCommandLine(command));
    const RunningCommands::Entry entry(&running_, command);
    line.meter = entry.meter();
    Result<Json> result = RunCommand(*this, line, stop);
    const ServiceHooks hooks = this->hooks();
    if (hooks.changed) hooks.changed();
    return result;
  } catch (const std::exception& e) {
    return Error{Errc::kInternal, fmt::format("command: {}", e.what())};
  }
}

LibraryConfig Service::current_config() const {
  MutexLock lock(&mu_);
  return current_;
}

Result<std::vector<std::string>> Service::Reload() {
  ASSIGN_OR_RETURN(const LibraryConfig next,
                   ReadLibraryConfig(config().directory));
  MutexLock lock(&mu_);
  const LibraryConfig& now = current_;
  const struct {
    const char* name;
    bool differs;
    bool live;
  } keys[] = {
      {"library.lib_num", next.lib_num != now.lib_num, false},
      {"the devices (kind, geometry, timing, changer, drives, docks, shelf)",
       next.devices != now.devices, false},
      {"policy.checkpoint_interval_ms",
       next.checkpoint_interval_ms != now.checkpoint_interval_ms, false},
      {"policy.spool_limit", next.spool_limit != now.spool_limit, false},
      {"policy.overlay_limit", next.overlay_limit != now.overlay_limit, false},
      {"policy.copy_start", next.copy_start != now.copy_start, false},
      {"policy.copy_end", next.copy_end != now.copy_end, false},
      {"policy.simultaneous_copies",
       next.simultaneous_copies != now.simultaneous_copies, false},
      {"policy.generations", next.generations != now.generations, true},
      {"policy.tracked_pairs", next.tracked_pairs != now.tracked_pairs, true},
      {"hooks", HooksDiffer(next.hooks, now.hooks), true},
  };
  std::vector<std::string> changed;
  std::string refused;
  for (const auto& key : keys) {
    if (!key.differs) continue;
    if (key.live) {
      changed.emplace_back(key.name);
    } else {
      refused += refused.empty() ? "" : ", ";
      refused += key.name;
    }
  }
  if (!refused.empty()) {
    return Error{Errc::kBusy,
                 fmt::format("reload: only a restart can change {}: nothing "
                             "was changed",
                             refused)};
  }
  current_ = next;
  lock.Unlock();
  jobs_->SetPolicy(next.generations, next.tracked_pairs, next.hooks);
  return changed;
}

void Service::StopWork() {
  if (stages_) stages_->Shutdown();
  if (jobs_) jobs_->Shutdown();
}

void Service::StopVolumes() {
  if (volumes_) volumes_->Shutdown();
}

}  // namespace vellum
