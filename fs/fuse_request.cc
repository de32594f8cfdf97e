// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_request.h"

#include <spdlog/spdlog.h>

#include <thread>
#include <utility>

#include "fs/errno_map.h"
#include "media/mutex.h"

namespace vellum {
namespace {

// Where a call of WithVolume is. The operation may begin in a worker while the
// caller is still parking it; it then waits until the caller has let go.
struct Parking {
  Mutex mu;  // a leaf
  CondVar changed;
  const std::thread::id caller = std::this_thread::get_id();
  bool in_call GUARDED_BY(mu) = true;
  bool ran GUARDED_BY(mu) = false;
  uint64_t parked_id GUARDED_BY(mu) = 0;
};

// Answers what happened in the worker's or the caller's thread.
uint64_t BeginOperation(Parking* parking) {
  MutexLock lock(&parking->mu);
  if (parking->in_call && std::this_thread::get_id() == parking->caller) {
    parking->ran = true;
    return 0;
  }
  while (parking->in_call) parking->changed.Wait(&parking->mu);
  return parking->parked_id;
}

void OnInterrupt(fuse_req_t req, void* data) {
  static_cast<FuseFs*>(fuse_req_userdata(req))
      ->parked.Interrupt(reinterpret_cast<uintptr_t>(data));
}

// An operator should see these even though the caller sees them too.
bool IsIntegrityError(Errc code) {
  return code == Errc::kCorruption || code == Errc::kDeviceError ||
         code == Errc::kInternal;
}

}  // namespace

Request::~Request() {
  Errno(EIO);
  --fs_->requests;  // the last touch: the mount may end now
}

void Request::Errno(int err) {
  if (fuse_req_t req = Take()) fuse_reply_err(req, err);
}

void Request::Fail(const Error& error) {
  if (IsIntegrityError(error.code)) spdlog::error("{}", error.ToString());
  Errno(ErrnoOf(error.code));
}

void Request::Entry(const fuse_entry_param& entry) {
  if (fuse_req_t req = Take()) fuse_reply_entry(req, &entry);
}

void Request::Attributes(const struct stat& st, double timeout) {
  if (fuse_req_t req = Take()) fuse_reply_attr(req, &st, timeout);
}

void Request::Link(const std::string& target) {
  if (fuse_req_t req = Take()) fuse_reply_readlink(req, target.c_str());
}

void Request::Written(size_t count) {
  if (fuse_req_t req = Take()) fuse_reply_write(req, count);
}

void Request::Data(const void* data, size_t size) {
  if (fuse_req_t req = Take()) {
    fuse_reply_buf(req, static_cast<const char*>(data), size);
  }
}

void Request::StatFs(const struct statvfs& st) {
  if (fuse_req_t req = Take()) fuse_reply_statfs(req, &st);
}

void Request::Offset(off_t offset) {
  if (fuse_req_t req = Take()) fuse_reply_lseek(req, offset);
}

void Request::Xattr(const std::string& value, size_t size) {
  if (size != 0 && size < value.size()) return Errno(ERANGE);
  if (fuse_req_t req = Take()) {
    if (size == 0) {
      fuse_reply_xattr(req, value.size());
    } else {
      fuse_reply_buf(req, value.data(), value.size());
    }
  }
}

bool Request::Opened(const fuse_file_info& info) {
  fuse_req_t req = Take();
  return req != nullptr && fuse_reply_open(req, &info) != -ENOENT;
}

bool Request::Created(const fuse_entry_param& entry,
                      const fuse_file_info& info) {
  fuse_req_t req = Take();
  return req != nullptr && fuse_reply_create(req, &entry, &info) != -ENOENT;
}

bool ArmInterrupt(Request& request, uint64_t parked_id) {
  fuse_req_interrupt_func(request.raw(), OnInterrupt,
                          reinterpret_cast<void*>(parked_id));
  return request.fs().parked.Arm(parked_id);
}

void WithVolume(const RequestPtr& request, const ShownVolumePtr& shown,
                std::function<void(VolumeUse&)> operation,
                std::function<void()> before_parking, uint64_t address) {
  FuseFs& fs = request->fs();
  auto parking = std::make_shared<Parking>();
  const Volumes::Ticket ticket = fs.volumes->With(
      shown->volume,
      [request, parking,
       operation = std::move(operation)](Result<VolumeUse> use) {
        const uint64_t parked_id = BeginOperation(parking.get());
        if (parked_id != 0) request->fs().parked.Remove(parked_id);
        Guarded(request, [&] {
          if (use.ok()) {
            operation(*use);
          } else {
            request->Fail(use.error());
          }
        });
      },
      address);

  {
    MutexLock lock(&parking->mu);
    if (parking->ran) return;
  }
  // Parked: the operation does not begin before in_call is false, so request
  // and data are still ours.
  bool interrupted = false;
  uint64_t id = 0;
  Guarded(request, [&] {
    if (before_parking) before_parking();
    Volumes* const volumes = fs.volumes;
    id = fs.parked.Add([volumes, ticket] { volumes->Cancel(ticket); });
    interrupted = ArmInterrupt(*request, id);
  });
  {
    MutexLock lock(&parking->mu);
    parking->parked_id = id;
    parking->in_call = false;
  }
  parking->changed.NotifyAll();
  if (interrupted) fs.volumes->Cancel(ticket);
}

uint64_t AddressToWaitAt(const Request& request, const ShownVolume& shown,
                         InodeNumber ino, uint64_t offset) {
  // Nobody waits for what is there.
  if (request.fs().volumes->loaded(*shown.volume)) return 0;
  return shown.volume->DataAddress(ino, offset);
}

}  // namespace vellum
