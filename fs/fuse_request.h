// SPDX-License-Identifier: Apache-2.0
// One FUSE request: it is answered exactly once, whatever happens, and it may
// wait for a volume's medium without holding up a thread.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fuse3/fuse_lowlevel.h>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "fs/fuse_fs.h"
#include "fs/tree.h"
#include "index/volumes.h"
#include "media/error.h"

namespace vellum {

// Thread-safety: one caller at a time, but a second answer is ignored wherever
// it comes from.
class Request {
 public:
  explicit Request(fuse_req_t req)
      : fs_(static_cast<FuseFs*>(fuse_req_userdata(req))), req_(req) {
    ++fs_->requests;
  }
  ~Request();  // EIO when nothing was answered
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  FuseFs& fs() const { return *fs_; }
  // REQUIRES: not answered.
  fuse_req_t raw() const { return req_.load(); }

  void Ok() { Errno(0); }
  void Errno(int err);
  // The errno of the error; what an operator should know is logged.
  void Fail(const Error& error);
  void Entry(const fuse_entry_param& entry);
  void Attributes(const struct stat& st, double timeout);
  void Link(const std::string& target);
  void Written(size_t count);
  void Data(const void* data, size_t size);
  void StatFs(const struct statvfs& st);
  void Offset(off_t offset);
  // getxattr and listxattr: `size` is what the caller has room for, 0 to ask.
  void Xattr(const std::string& value, size_t size);
  // False: the caller was interrupted and will never release the file.
  bool Opened(const fuse_file_info& info);
  bool Created(const fuse_entry_param& entry, const fuse_file_info& info);

 private:
  // The request, once; null afterwards.
  fuse_req_t Take() { return req_.exchange(nullptr); }

  FuseFs* const fs_;
  std::atomic<fuse_req_t> req_;
};
using RequestPtr = std::shared_ptr<Request>;

// The barrier: no exception gets into libfuse, and every path answers.
template <typename F>
void Guarded(const RequestPtr& request, F&& f) {
  try {
    f();
  } catch (const std::bad_alloc&) {
    request->Errno(ENOMEM);
  } catch (const std::exception& e) {
    request->Fail(Error{Errc::kInternal, e.what()});
  }
}
template <typename F>
void Guard(fuse_req_t req, F&& f) {
  RequestPtr request;
  try {
    request = std::make_shared<Request>(req);
  } catch (const std::bad_alloc&) {
    fuse_reply_err(req, ENOMEM);
    return;
  }
  Guarded(request, [&] { f(request); });
}

// Runs `operation` with the volume attached: at once in this thread when it is
// loaded, else when it was loaded, in a worker. An interrupt of a waiting
// request answers EINTR. An error of the load is the request's answer, and
// `operation` is not called.
//
// `before_parking` is called, if the request has to wait, before the caller
// returns to libfuse: it saves what libfuse owns (the data of a write).
// `address`: where the data is, by which waiting requests are ordered.
void WithVolume(const RequestPtr& request, const ShownVolumePtr& shown,
                std::function<void(VolumeUse&)> operation,
                std::function<void()> before_parking = {},
                uint64_t address = 0);
// Where the data of a file is, for operations that may have to wait.
uint64_t AddressToWaitAt(const Request& request, const ShownVolume& shown,
                         InodeNumber ino, uint64_t offset);

// Tells the parked request when it is interrupted. REQUIRES: the request stays
// unanswered until this returned. True: it was interrupted already.
bool ArmInterrupt(Request& request, uint64_t parked_id);

}  // namespace vellum
