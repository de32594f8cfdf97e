# SPDX-License-Identifier: Apache-2.0
"""What backups cost those who write, and several volumes at once."""

import json
import os
import random
import re
import statistics
import subprocess
import threading
import time

from .host import MIB, BenchError, Clock, bytes_written_by, expect, run
from .rounds import Fact, Row, Target
from .rows_copy import capacity_of, clear, fill_volume
from .rows_data import chunk, digest, expected_digest
from .systems import Passthrough, Vellum

REGION = 64 << 10


class FlushCount:
    """with FlushCount(pid) as c: ...; c.count, of all threads."""

    CALL = re.compile(r"\b(fsync|fdatasync|sync_file_range|msync)\b")

    def __init__(self, host, pid):
        self.output = os.path.join(host.folder("strace"), "calls")
        self.child = host.start(
            "strace", "-f", "-q", "-e", "trace=fsync,fdatasync,msync,"
            "sync_file_range", "-o", self.output, "-p", pid)
        self.host = host
        self.pid = pid

    def __enter__(self):
        tasks = f"/proc/{self.pid}/task"
        deadline = time.monotonic() + 30
        while not all(self.traced(os.path.join(tasks, t))
                      for t in os.listdir(tasks)):
            if time.monotonic() > deadline or self.child.poll() is not None:
                raise BenchError("strace does not attach")
            time.sleep(0.01)
        return self

    @staticmethod
    def traced(task):
        try:
            with open(os.path.join(task, "status"), encoding="utf-8") as file:
                return "TracerPid:\t0\n" not in file.read()
        except FileNotFoundError:
            return True  # a thread that has ended

    def __exit__(self, *_):
        self.host.stop(self.child)
        with open(self.output, encoding="utf-8", errors="replace") as file:
            # A call that another thread's interrupts takes two lines.
            self.count = sum(1 for line in file if self.CALL.search(line) and
                             "resumed>" not in line)


class Tracking(Row):
    """Size: writes of 64 KiB, each made durable, with 0, 1 and 4 backups."""

    name = "tracking"
    title = "writing with 0, 1 and 4 tracked backups"
    ours = ("0", "1", "4")
    sizes = {"small": 10, "full": 1000}
    grows = True
    targets = (
        Target("1 backup by none", ("1", "write"), ("0", "write")),
        Target("4 backups by none", ("4", "write"), ("0", "write")),
    )

    def set_up(self, stack, host, size):
        self.host = host
        self.size = size
        self.libraries = {}
        room = size * REGION * 8 // MIB + 16
        for backups in (0, 1, 4):
            # Commits come with the fsyncs only: the same number for all.
            library = Vellum(host, capacity=capacity_of(room), media=5,
                             checkpoint_ms=3_600_000)
            stack.callback(library.close)
            fill_volume(library, 1)
            for i in range(backups):
                library.job("copy", "A", "--mode", "streaming", "--to",
                            f"V0000{i + 2}")
            tracked = [row for row in library.table("tracking")
                       if row["transaction_disk"] == "A"]
            expect(len(tracked) == backups, f"{tracked}: not {backups}")
            self.libraries[str(backups)] = library

        def once(library, turn):
            path = os.path.join(library.root, f"round{turn}")
            with Clock() as clock:
                self.write(path)
            if turn > 0:
                os.unlink(os.path.join(library.root, f"round{turn - 1}"))
                library.durable()
            return {"write": clock.seconds}

        return {name: lambda turn, l=library: once(l, turn)
                for name, library in self.libraries.items()}

    def write(self, path):
        data = random.Random(path).randbytes(REGION)
        with open(path, "wb", buffering=0) as file:
            for _ in range(self.size):
                file.write(data)
                os.fsync(file.fileno())

    def finish(self):
        facts = []
        counts = {}
        bytes_written = {}
        for name, library in self.libraries.items():
            library.durable()
            begin = bytes_written_by(library.pid())
            with FlushCount(self.host, library.pid()) as flushes:
                self.write(os.path.join(library.root, "counted"))
            counts[name] = flushes.count
            bytes_written[name] = bytes_written_by(library.pid()) - begin
            facts.append(Fact(f"flushes for each fsync, {name} backups",
                              round(flushes.count / self.size, 2)))
        facts.append(Fact("flushes more with backups than without",
                          max(counts.values()) - counts["0"], at_most=0))
        facts += [Fact(f"bytes that {name} backups make the daemon write more, "
                       "by bytes of data",
                       round((bytes_written[name] - bytes_written["0"]) /
                             (self.size * REGION), 6), at_most=0.001)
                  for name in ("1", "4")]
        library = self.libraries["4"]
        library.unmount()
        dump = run(self.host.vellum, "dump-catalog", library.dir, "--all")
        library.mount()
        marks = 0
        for line in dump.splitlines():
            if '"changes"' in line:
                marks += len(json.loads(line)["runs"]) // 2
        written = (self.size + 16) * REGION
        facts.append(Fact("bytes of the change map that stay, by bytes of data",
                          round(marks / written, 6), at_most=0.001))
        return facts


class Together(Row):
    """Size: MiB written to each of two volumes, and on the copied one."""

    name = "together"
    title = "two volumes written and one copied at once"
    sizes = {"small": 4, "full": 2048}
    grows = True
    targets = (
        Target("disk writing as many bytes", ("disk", "work"),
               ("vellum", "work"), at_least=0.8),
        # A copy reads as well as it writes.
        Target("two files written on the disk and one copied by dd",
               ("dd", "work"), ("vellum", "work")),
        # What FUSE leaves of the disk: two files through it, one below it.
        Target("disk and passthrough writing as many", ("passthrough", "work"),
               ("vellum", "work")),
        Target("processors' time, disk", ("disk", "processors"),
               ("vellum", "processors")),
        Target("processors' time, two files and dd", ("dd", "processors"),
               ("vellum", "processors")),
        Target("processors' time, disk and passthrough",
               ("passthrough", "processors"), ("vellum", "processors")),
    )

    def set_up(self, stack, host, size):
        vellum = Vellum(host, capacity=capacity_of(3 * size), media=4, drives=4)
        stack.callback(vellum.close)
        vellum.call("format", "V00002", "--name", "B")
        vellum.call("format", "V00003", "--name", "C")
        fill_volume(vellum, size)
        self.vellum = vellum
        self.size = size
        # Of each contender's turns: the share of the processors in use.
        self.shares = {}
        folder = host.folder("disk")
        passthrough = Passthrough(host)
        stack.callback(passthrough.close)

        def write(path):
            with open(path, "wb", buffering=0) as file:
                for i in range(size):
                    file.write(chunk(i))
                os.fsync(file.fileno())

        def all_at_once(works):
            failures = []

            def guarded(work):
                try:
                    work()
                except (OSError, BenchError, subprocess.SubprocessError) as e:
                    failures.append(e)

            threads = [threading.Thread(target=guarded, args=(w,))
                       for w in works]
            with Clock() as clock:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            expect(not failures, f"at once: {failures}")
            self.busy.append((clock.processor /
                              (clock.seconds * os.cpu_count())))
            return {"work": clock.seconds, "processors": clock.processor}

        def by_vellum(turn):
            clear(vellum, "V00004")
            paths = [os.path.join(vellum.volume(v), f"file{turn}")
                     for v in ("B", "C")]
            seconds = all_at_once(
                [lambda p=p: write(p) for p in paths] +
                [lambda: vellum.job("copy", "A", "--mode", "streaming", "--to",
                                    "V00004", "--no-verify")])
            for path in paths:
                expect(digest(path) == expected_digest(size),
                       f"{path} differs from what was written")
                os.unlink(path)
            vellum.durable()
            vellum.compare(vellum.backup_on("V00004"))
            return seconds

        def by_passthrough(turn):
            paths = [os.path.join(passthrough.root, f"file{turn}-{i}")
                     for i in range(2)] + [os.path.join(folder, "copy")]
            seconds = all_at_once([lambda p=p: write(p) for p in paths])
            for path in paths:
                os.unlink(path)
            return seconds

        def by_dd(turn):
            paths = [os.path.join(folder, f"file{i}") for i in range(2)]
            copy = os.path.join(folder, "copy")
            # Around the page cache, as Vellum does it.
            words = ("dd", f"if={vellum.image()}", f"of={copy}", "bs=4M",
                     "conv=sparse,fsync", "oflag=direct", "status=none")
            seconds = all_at_once([lambda p=p: write(p) for p in paths] +
                                  [lambda: run(*words)])
            for path in [*paths, copy]:
                os.unlink(path)
            return seconds

        def by_disk(turn):
            paths = [os.path.join(folder, f"file{i}") for i in range(3)]
            seconds = all_at_once([lambda p=p: write(p) for p in paths])
            for path in paths:
                os.unlink(path)
            return seconds

        works = {"vellum": by_vellum, "passthrough": by_passthrough,
                 "dd": by_dd, "disk": by_disk}

        def counted(name, turn):
            self.busy = self.shares.setdefault(name, [])
            return works[name](turn)

        return {name: lambda turn, n=name: counted(n, turn) for name in works}

    def finish(self):
        return [Fact(f"share of the processors in use, {name}",
                     round(statistics.median(values), 2))
                for name, values in self.shares.items()]
