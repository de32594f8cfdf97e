// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_channel.h"

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fuse3/fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace vellum {
namespace {

// The FUSE_INIT that this thread has read and not answered yet, if its kernel
// offers what we want. libfuse answers it before the thread reads again.
thread_local uint64_t offered_in = 0;

ssize_t ReadRequest(int fd, void* buffer, size_t size, void*) {
  const ssize_t n = read(fd, buffer, size);
  offered_in = 0;
  fuse_in_header header{};
  if (n < static_cast<ssize_t>(sizeof(header))) return n;
  std::memcpy(&header, buffer, sizeof(header));
  if (header.opcode != FUSE_INIT) return n;
  fuse_init_in init{};
  std::memcpy(&init, static_cast<char*>(buffer) + sizeof(header),
              std::min(sizeof(init), static_cast<size_t>(n) - sizeof(header)));
  if ((init.flags & FUSE_HANDLE_KILLPRIV_V2) != 0) offered_in = header.unique;
  return n;
}

ssize_t WriteAnswer(int fd, iovec* parts, int count, void*) {
  fuse_out_header header{};
  if (offered_in != 0 && count > 1 && parts[0].iov_len == sizeof(header)) {
    std::memcpy(&header, parts[0].iov_base, sizeof(header));
    constexpr size_t kFlags = offsetof(fuse_init_out, flags);
    uint32_t flags = 0;
    if (header.unique == offered_in && header.error == 0 &&
        parts[1].iov_len >= kFlags + sizeof(flags)) {
      char* const at = static_cast<char*>(parts[1].iov_base) + kFlags;
      std::memcpy(&flags, at, sizeof(flags));
      flags |= FUSE_HANDLE_KILLPRIV_V2;
      std::memcpy(at, &flags, sizeof(flags));
      offered_in = 0;
    }
  }
  return writev(fd, parts, count);
}

}  // namespace

Status TakeOverSetIdBits(fuse_session* session) {
  fuse_custom_io io{};
  io.read = ReadRequest;
  io.writev = WriteAnswer;
  const int result =
      fuse_session_custom_io(session, &io, fuse_session_fd(session));
  if (result == 0) return Status::Ok();
  return Status(Errc::kDeviceError, "FUSE refuses to have its channel watched");
}

}  // namespace vellum
