// SPDX-License-Identifier: Apache-2.0
#include "media/scsi/sg_transport.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <scsi/sg_pt.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <memory>
#include <system_error>
#include <utility>

#include "media/mutex.h"
#include "media/scsi/medium_guard.h"

namespace vellum::scsi {

namespace {

// Of <scsi/sg.h>, whose other declarations clash with libsgutils2's.
constexpr unsigned long kSgGetVersionNumber = 0x2282;

// The kernel's host status (include/scsi/scsi_status.h), where the difference
// matters.
constexpr uint32_t kDidNoConnect = 0x01;
constexpr uint32_t kDidTimeOut = 0x03;
constexpr uint32_t kDidBadTarget = 0x04;
constexpr uint32_t kDidTransportFailfast = 0x0F;

// When the system does not tell: what every host adapter can do.
constexpr size_t kSmallestMaxTransfer = 64 * 1024;

std::string ErrnoText(int err) { return std::generic_category().message(err); }

// Blocks every signal of this thread while it lives. A signal would end the
// wait for the command, and the kernel would then send the command again.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// One opening of the device's file.
struct SgFile {
  explicit SgFile(int fd_in) : fd(fd_in) {}
  ~SgFile() { scsi_pt_close_device(fd); }
  SgFile(const SgFile&) = delete;
  SgFile& operator=(const SgFile&) = delete;

  const int fd;
  size_t max_transfer = 0;
};

Result<std::shared_ptr<const SgFile>> OpenSgFile(const std::string& path);

class SgTransport : public Transport {
 public:
  SgTransport(std::string path, std::shared_ptr<const SgFile> file)
      : path_(std::move(path)),
        max_transfer_(file->max_transfer),
        file_(std::move(file)) {}

  Result<Reply> Execute(const Command& command) override;
  Status Reopen() override {
    ASSIGN_OR_RETURN(std::shared_ptr<const SgFile> file, OpenSgFile(path_));
    MutexLock lock(&mu_);
    file_ = std::move(file);
    return Status::Ok();
  }
  Result<std::string> HoldMedium() override;
  void ReleaseMedium() override {
    std::shared_ptr<MediumGuard> last;  // closed without the lock
    MutexLock lock(&mu_);
    last.swap(guard_);
  }
  bool DriverSawChange() override {
    const std::shared_ptr<MediumGuard> guard = Guard();
    return guard != nullptr && guard->Changed();
  }
  size_t MaxTransfer() const override { return max_transfer_; }
  std::string Name() const override { return path_; }

 private:
  std::shared_ptr<const SgFile> File() const {
    MutexLock lock(&mu_);
    return file_;
  }
  std::shared_ptr<MediumGuard> Guard() const {
    MutexLock lock(&mu_);
    return guard_;
  }

  const std::string path_;
  const size_t max_transfer_;
  mutable Mutex mu_;  // a leaf
  std::shared_ptr<const SgFile> file_ GUARDED_BY(mu_);
  std::shared_ptr<MediumGuard> guard_ GUARDED_BY(mu_);  // of what is held
};

Result<std::string> SgTransport::HoldMedium() {
  std::shared_ptr<MediumGuard> guard = Guard();
  if (guard != nullptr) {
    guard->LookAgain();
    return guard->weakness();
  }
  struct stat info {};
  if (fstat(File()->fd, &info) != 0) return ErrnoError("stat " + path_, errno);
  ASSIGN_OR_RETURN(guard, MediumGuard::Hold(info));
  if (guard == nullptr) return std::string();
  MutexLock lock(&mu_);
  guard_ = guard;
  return guard->weakness();
}

Result<Reply> SgTransport::Execute(const Command& command) {
  const std::string what = fmt::format(
      "{}: command 0x{:02X}", path_,
      command.cdb.empty() ? 0u : static_cast<unsigned>(command.cdb[0]));
  const size_t wanted = std::max(command.in.size(), command.out.size());
  if (wanted > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: {} bytes of data", what, wanted)};
  }
  const std::unique_ptr<sg_pt_base, void (*)(sg_pt_base*)> request(
      construct_scsi_pt_obj(), &destruct_scsi_pt_obj);
  if (request == nullptr) return ErrnoError(what, ENOMEM);
  std::array<uint8_t, 252> sense{};  // the most that SPC-4 allows
  set_scsi_pt_cdb(request.get(), command.cdb.data(),
                  static_cast<int>(command.cdb.size()));
  set_scsi_pt_sense(request.get(), sense.data(),
                    static_cast<int>(sense.size()));
  if (!command.in.empty()) {
    set_scsi_pt_data_in(request.get(),
                        reinterpret_cast<uint8_t*>(command.in.data()),
                        static_cast<int>(command.in.size()));
  }
  if (!command.out.empty()) {
    set_scsi_pt_data_out(request.get(),
                         reinterpret_cast<const uint8_t*>(command.out.data()),
                         static_cast<int>(command.out.size()));
  }
  const auto seconds =
      std::max(std::chrono::ceil<std::chrono::seconds>(command.timeout),
               std::chrono::seconds(1));
  int result = 0;
  {
    const std::shared_ptr<const SgFile> file = File();
    const SignalsBlocked blocked;
    result = do_scsi_pt(request.get(), file->fd,
                        static_cast<int>(seconds.count()), 0);
  }
  SgOutcome outcome;
  if (result < 0) {
    outcome.os_error = -result;
  } else if (result == SCSI_PT_DO_TIMEOUT) {
    outcome.os_error = ETIMEDOUT;
  } else if (result != SCSI_PT_DO_START_OK) {
    outcome.os_error = EINVAL;
  }
  if (outcome.os_error == 0) {
    const int category = get_scsi_pt_result_category(request.get());
    if (category == SCSI_PT_RESULT_OS_ERR) {
      outcome.os_error = get_scsi_pt_os_err(request.get());
      if (outcome.os_error == 0) outcome.os_error = EIO;
    } else if (category == SCSI_PT_RESULT_TRANSPORT_ERR) {
      outcome.host_status =
          static_cast<uint32_t>(get_scsi_pt_transport_err(request.get()));
      outcome.driver_failed = outcome.host_status == 0;
    }
    outcome.status =
        static_cast<uint8_t>(get_scsi_pt_status_response(request.get()));
    const int length = std::clamp(get_scsi_pt_sense_len(request.get()), 0,
                                  static_cast<int>(sense.size()));
    outcome.sense.assign(sense.begin(), sense.begin() + length);
    const int residual = get_scsi_pt_resid(request.get());
    outcome.transferred =
        wanted - std::min(wanted, static_cast<size_t>(std::max(residual, 0)));
  }
  return ReplyOf(what, std::move(outcome));
}

Error OpenError(const std::string& path, int err) {
  if (err == EACCES || err == EPERM) {
    return Error{Errc::kAccessDenied,
                 fmt::format("open {}: {}", path, ErrnoText(err))};
  }
  if (err == ENXIO || err == ENODEV) {
    return Error{
        Errc::kOffline,
        fmt::format("open {}: no device behind it ({})", path, ErrnoText(err))};
  }
  return ErrnoError("open " + path, err);
}

// Bytes; the file of a generic device tells bytes, that of a block device
// sectors of 512 bytes in a short.
size_t MaxTransferOf(int fd, bool block_device) {
  if (block_device) {
    unsigned short sectors = 0;
    if (ioctl(fd, BLKSECTGET, &sectors) == 0 && sectors > 0) {
      return size_t{sectors} * 512;
    }
  } else {
    int bytes = 0;
    if (ioctl(fd, BLKSECTGET, &bytes) == 0 && bytes > 0) {
      return static_cast<size_t>(bytes);
    }
  }
  return kSmallestMaxTransfer;
}

Result<std::shared_ptr<const SgFile>> OpenSgFile(const std::string& path) {
  const int fd = scsi_pt_open_flags(
      path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0);
  if (fd < 0) return OpenError(path, fd == -1 && errno != 0 ? errno : -fd);
  const auto file = std::make_shared<SgFile>(fd);
  struct stat info {};
  if (fstat(fd, &info) != 0) return ErrnoError("stat " + path, errno);
  int version = 0;
  if (!(S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) ||
      ioctl(fd, kSgGetVersionNumber, &version) != 0 || version < 30000) {
    return Error{Errc::kInvalidArgument, path + ": this is no SCSI device"};
  }
  file->max_transfer = MaxTransferOf(fd, S_ISBLK(info.st_mode));
  return std::shared_ptr<const SgFile>(file);
}

}  // namespace

Result<std::unique_ptr<Transport>> OpenSgTransport(const std::string& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const SgFile> file, OpenSgFile(path));
  return std::unique_ptr<Transport>(
      std::make_unique<SgTransport>(path, std::move(file)));
}

Result<Reply> ReplyOf(const std::string& what, SgOutcome outcome) {
  switch (outcome.os_error) {
    case 0:
      break;
    case ENODEV:
    case ENXIO:
    case ESHUTDOWN:
      return Error{Errc::kOffline, what + ": the device is gone (" +
                                       ErrnoText(outcome.os_error) + ")"};
    case ETIMEDOUT:
      return Error{Errc::kTimedOut, what + ": no answer in time"};
    case EPERM:
    case EACCES:
      return Error{Errc::kAccessDenied,
                   what + ": " + ErrnoText(outcome.os_error)};
    case EDOM: {
      // The driver's own queue for this descriptor: the device did not get it.
      Reply full;
      full.status = kTaskSetFull;
      return full;
    }
    default:
      return ErrnoError(what, outcome.os_error);
  }
  switch (outcome.host_status) {
    case kDidNoConnect:
    case kDidBadTarget:
    case kDidTransportFailfast:
      return Error{Errc::kOffline,
                   fmt::format("{}: the device is gone (host status 0x{:02X})",
                               what, outcome.host_status)};
    case kDidTimeOut:
      return Error{Errc::kTimedOut, what + ": no answer in time"};
    default:
      break;
  }
  // Where the device answered beside the transport's complaint, its answer says
  // more.
  const bool answered =
      outcome.status == kCheckCondition && !outcome.sense.empty();
  if ((outcome.host_status != 0 || outcome.driver_failed) && !answered) {
    return Error{Errc::kDeviceError,
                 fmt::format("{}: the transport failed (host status 0x{:02X})",
                             what, outcome.host_status)};
  }
  Reply reply;
  reply.status = outcome.status;
  reply.sense = std::move(outcome.sense);
  reply.transferred = outcome.transferred;
  return reply;
}

}  // namespace vellum::scsi
