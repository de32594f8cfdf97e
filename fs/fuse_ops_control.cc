// SPDX-License-Identifier: Apache-2.0
// Control files: unbuffered (direct_io), so that a write returns its command's
// errno and a read is never stale.
#include <fcntl.h>
#include <fmt/format.h>

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "fs/command_runner.h"
#include "fs/commands.h"
#include "fs/control_tree.h"
#include "fs/errno_map.h"
#include "fs/fuse_ops.h"
#include "fs/service.h"

namespace vellum::ops {
namespace {

constexpr size_t kMaxCommand = 64 * 1024;

ControlHandle* HandleOf(const fuse_file_info& info) {
  return reinterpret_cast<ControlHandle*>(info.fh);
}

}  // namespace

void OpenControl(const RequestPtr& request, NodeId node, fuse_file_info info) {
  FuseFs& fs = request->fs();
  const int access = info.flags & O_ACCMODE;
  if (access != O_RDONLY && !ControlTree::Accepts(node)) {
    return request->Errno(EACCES);
  }
  std::string content;
  if (access != O_WRONLY) {
    Result<std::string> read = fs.control->Read(node);
    if (!read.ok()) return request->Fail(read.error());
    content = std::move(*read);
  }
  auto handle = std::make_unique<ControlHandle>(std::move(content));
  info.fh = reinterpret_cast<uint64_t>(handle.get());
  info.direct_io = 1;
  ++fs.control_handles;
  if (request->Opened(info)) {
    handle.release();  // NOLINT: Release deletes it
  } else {
    --fs.control_handles;
  }
}

void ReadControl(const RequestPtr& request, size_t size, off_t offset,
                 const fuse_file_info& info) {
  const std::string data =
      HandleOf(info)->Read(static_cast<uint64_t>(offset), size);
  request->Data(data.data(), data.size());
}

void WriteControl(const RequestPtr& request, NodeId node, const char* data,
                  size_t size, off_t offset, const fuse_file_info& info) {
  FuseFs& fs = request->fs();
  // The file stays open until the write is answered, so the handle lives.
  ControlHandle* const handle = HandleOf(info);
  const auto begin = static_cast<uint64_t>(offset);
  const auto refuse = [&](const Error& error) {
    handle->SetAnswer(AnswerText(error), begin);
    request->Errno(CommandErrnoOf(error.code));
  };
  if (size > kMaxCommand) {
    return refuse(Error{Errc::kTooLarge,
                        fmt::format("a command of {} bytes: {} is the longest",
                                    size, kMaxCommand)});
  }
  const Result<std::string> command =
      fs.control->CommandFor(node, std::string(data, size));
  if (!command.ok()) return refuse(command.error());
  const std::stop_source stop;
  const uint64_t id = fs.parked.Add([stop]() mutable { stop.request_stop(); });
  if (ArmInterrupt(*request, id)) {
    fs.parked.Remove(id);
    return request->Errno(EINTR);
  }
  const Status started = fs.runner->Run(stop, [request, handle, begin, size, id,
                                               command = *command](
                                                  std::stop_token token) {
    const Result<Json> result = request->fs().service->Execute(command, token);
    request->fs().parked.Remove(id);
    handle->SetAnswer(AnswerText(result), result.ok() ? begin + size : begin);
    if (result.ok()) {
      request->Written(size);
    } else {
      // The answer says the rest; the errno is all a write can return.
      request->Errno(CommandErrnoOf(result.error().code));
    }
  });
  if (!started.ok()) {
    fs.parked.Remove(id);
    refuse(started.error());
  }
}

}  // namespace vellum::ops
