# SPDX-License-Identifier: Apache-2.0
"""The machine: work folder, mounts, processes, caches. Everything that a run
makes is below one folder, and Host.close() takes all of it away."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20


class BenchError(Exception):
    """A measurement that could not be made, or a wrong result."""


def expect(condition, text):
    if not condition:
        raise BenchError(text)


def await_true(condition, text, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, f"{text}: not in {seconds} s")
        time.sleep(0.005)


def run(*words, codes=(0,)):
    """Runs a program to its end; returns its output."""
    done = subprocess.run([str(w) for w in words], capture_output=True,
                          text=True, check=False)
    expect(done.returncode in codes,
           f"{' '.join(str(w) for w in words)}: exit code {done.returncode}: "
           f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def mounts_below(folder):
    with open("/proc/self/mounts", encoding="utf-8") as file:
        points = [line.split()[1] for line in file]
    return [p for p in points if p.startswith(folder + "/")]


def who_uses(point):
    """Words and process ids of those that have something of a mount open."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        links = [f"/proc/{entry}/{name}" for name in ("cwd", "root", "exe")]
        try:
            links += [item.path for item in os.scandir(f"/proc/{entry}/fd")]
            with open(f"/proc/{entry}/comm", encoding="utf-8") as file:
                name = file.read().strip()
        except OSError:
            continue  # it has ended
        for link in links:
            try:
                path = os.readlink(link)
            except OSError:
                continue
            if path == point or path.startswith(point + "/"):
                found.append(f"{name} ({entry}): {path}")
                break
    return found


def unmount(point, seconds=60):
    """Tries again while it is busy: whatever walks over all mounts is in the
    way for a moment."""
    deadline = time.monotonic() + seconds
    while True:
        done = subprocess.run(["umount", point], capture_output=True,
                              text=True, check=False)
        if done.returncode == 0:
            return
        users = who_uses(point)
        expect("busy" in done.stderr and time.monotonic() < deadline,
               f"umount {point}: {done.stderr.strip()}; used by: "
               f"{', '.join(users) or 'nobody that is known'}")
        time.sleep(0.1)


def fsync_path(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path):
    run("sync", "-f", path)


def forget(path):
    """Drops what is clean of a file, or of all files of a folder, from the
    page cache: what comes next is read from the disk."""
    if os.path.isdir(path):
        for item in os.scandir(path):
            if item.is_dir(follow_symlinks=False) or item.is_file():
                forget(item.path)
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def forget_all(path):
    """Names and inodes, too, of everything: the same for all contenders. Where
    the kernel does not let us, what is clean of the files below the path."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="utf-8") as file:
            file.write("3")
    except OSError:
        forget(path)


def cached_share(path):
    """Of a file's bytes, what the page cache has."""
    size = os.stat(path).st_size
    return int(run("fincore", "--bytes", "--noheadings", "--output", "RES",
                   path)) / size


def processor_seconds():
    """Of all processors, that were spent on anything since the start."""
    with open("/proc/stat", encoding="utf-8") as file:
        user, nice, system, _, _, irq, softirq, *_ = (
            int(word) for word in file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def disk_bytes_written(path):
    """By everybody, to the disk that the path is on; what is dirty is not. None
    if it is no disk."""
    device = os.stat(path).st_dev
    stat = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"
    try:
        with open(stat, encoding="utf-8") as file:
            return int(file.read().split()[6]) * 512
    except FileNotFoundError:
        return None


def bytes_written_by(pid):
    """By write(2) and its kin, of a process: files, logs and replies."""
    with open(f"/proc/{pid}/io", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file
                    if line.startswith("wchar:"))


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise BenchError(f"process {pid} has no memory")


def touch_free_memory():
    """A virtual machine gets memory from its host when it is first touched,
    which takes time that whoever comes first would pay. Touches most of what is
    free, and gives it back."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        free = next(int(line.split()[1]) for line in file
                    if line.startswith("MemFree:"))
    run(sys.executable, "-c", "import sys; kept = "
        "[b'x' * (64 << 20) for _ in range(int(sys.argv[1]))]",
        free * 9 // 10 // 1024 // 64)


class Clock:
    """with Clock() as c: ...; c.seconds, and of all processors c.processor"""

    def __enter__(self):
        self.seconds = None
        self.processor = None
        self.begin_processor = processor_seconds()
        self.begin = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.begin
        # The kernel counts in ticks: what is less takes one.
        self.processor = max(processor_seconds() - self.begin_processor,
                             1 / os.sysconf("SC_CLK_TCK"))


class Host:
    """The programs measured, and the folder that it all happens in."""

    def __init__(self, parent, build, keep_log=None):
        self.vellum = os.path.join(build, "vellum")
        self.passthrough = os.path.join(build, "tests", "bench_passthrough")
        self.fill = os.path.join(build, "tests", "bench_fill_volume")
        for program in (self.vellum, self.passthrough, self.fill):
            expect(os.access(program, os.X_OK), f"{program} is not there")
        self.work = tempfile.mkdtemp(prefix="vellum-bench.", dir=parent)
        self.children = []
        self.keep_log = keep_log
        self.count = 0

    def folder(self, name):
        """A new, empty folder."""
        self.count += 1
        path = os.path.join(self.work, f"{self.count:03d}-{name}")
        os.mkdir(path)
        return path

    def start(self, *words):
        """A program that stays; ended by stop() or close()."""
        with open(os.path.join(self.work, "children.log"), "ab") as log:
            child = subprocess.Popen([str(w) for w in words],
                                     stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log, start_new_session=True)
        self.children.append(child)
        return child

    def stop(self, child):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.remove(child)

    def await_end(self, child, seconds=300):
        """Of a program that ends by itself: its mount is gone."""
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{' '.join(child.args)}: does not end in "
                             f"{seconds} s") from None
        self.children.remove(child)

    def remove(self, path):
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def clear(self):
        """Ends what still runs and takes away what is in the work folder, so
        that the next measurement has the disk to itself."""
        daemons = self.daemons()
        for point in reversed(mounts_below(self.work)):
            try:
                subprocess.run([self.vellum, "unmount", "--force", point],
                               capture_output=True, check=False, timeout=30)
            except subprocess.TimeoutExpired:
                pass
            subprocess.run(["umount", "-l", point], capture_output=True,
                           check=False)
        for child in list(self.children):
            self.stop(child)
        deadline = time.monotonic() + 20
        while any(alive(d) for d in daemons):
            if time.monotonic() > deadline:
                for pid in filter(alive, daemons):
                    os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.01)
        for item in os.scandir(self.work):
            if item.is_dir(follow_symlinks=False):
                shutil.rmtree(item.path, ignore_errors=True)

    def close(self):
        """Also after a broken-off measurement: nothing is left behind."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        os.chdir("/")
        self.clear()
        shutil.rmtree(self.work, ignore_errors=True)

    def daemons(self):
        """Our daemons: of this program, with a path of ours among the words."""
        found = []
        program = os.path.realpath(self.vellum)
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read()
                if (self.work.encode() in words and
                        os.readlink(f"/proc/{entry}/exe") == program):
                    found.append(int(entry))
            except OSError:
                pass  # it has ended
        return found


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
