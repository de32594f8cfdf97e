# SPDX-License-Identifier: Apache-2.0
"""The data of one file: written and read in order, and at random."""

import hashlib
import os
import random

from .host import MIB, Clock, cached_share, expect, forget_all
from .rounds import Fact, Row, Target
from .systems import KINDS

PATTERN = random.Random(1).randbytes(4 * MIB)


def chunk(index):
    """1 MiB of the file's content, another one for each index."""
    at = (index * 4099) % (3 * MIB)
    return PATTERN[at:at + MIB]


def write_file(path, count):
    with open(path, "wb", buffering=0) as file:
        for i in range(count):
            file.write(chunk(i))
        os.fsync(file.fileno())


def read_file(path):
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(MIB)
        while file.readinto(buffer):
            pass


def digest(path):
    value = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(MIB):
            value.update(data)
    return value.hexdigest()


def expected_digest(count):
    value = hashlib.sha256()
    for i in range(count):
        value.update(chunk(i))
    return value.hexdigest()


def forget_file(path):
    """The next reads of the file come from the disk; what others have read
    takes no memory any more."""
    forget_all(path)
    share = cached_share(path)
    expect(share == 0, f"{share} of {path} are in memory still")


class DataRow(Row):
    """Size: MiB of one file."""

    systems = ()

    def set_up(self, stack, host, size):
        self.opened = {}
        contenders = {}
        for name in self.systems:
            options = {}
            if name == "vellum":
                # A new file stands beside the old one until it is freed.
                options = {"capacity": (size * 3 + 64) * MIB}
            system = KINDS[name](host, **options)
            stack.callback(system.close)
            self.opened[name] = system
            self.fill(system, size)
            contenders[name] = self.contender(system, size)
        self.size = size
        return contenders

    def fill(self, system, size):
        pass

    def contender(self, system, size):
        return lambda turn: self.once(system, size, turn)


class Write(DataRow):
    name = "write"
    title = "sequential write of one file, 1 MiB writes, fsync at the end"
    sizes = {"small": 8, "full": 4096}
    grows = True
    systems = ("vellum", "passthrough", "passthrough+writeback", "disk")
    targets = (
        Target("passthrough", ("passthrough", "write"), ("vellum", "write"),
               at_least=0.9),
        Target("passthrough with write-back cache",
               ("passthrough+writeback", "write"), ("vellum", "write")),
        Target("disk", ("disk", "write"), ("vellum", "write")),
    )

    def once(self, system, size, turn):
        path = os.path.join(system.root, f"file{turn}")
        with Clock() as clock:
            write_file(path, size)
        if turn > 0:
            os.unlink(os.path.join(system.root, f"file{turn - 1}"))
        self.last = f"file{turn}"
        return {"write": clock.seconds}

    def finish(self):
        vellum = self.opened["vellum"]
        path = os.path.join(vellum.root, self.last)
        forget_file(path)
        expect(digest(path) == expected_digest(self.size),
               "the file differs from what was written")
        return [Fact("extents of all that is on the volume",
                     vellum.check()["extents"])]


class Read(DataRow):
    name = "read"
    title = "sequential read of one file, 1 MiB reads"
    sizes = {"small": 8, "full": 4096}
    grows = True
    systems = ("vellum", "passthrough", "disk")
    targets = (
        Target("cold, passthrough", ("passthrough", "cold"),
               ("vellum", "cold"), at_least=0.9),
        Target("cold, disk", ("disk", "cold"), ("vellum", "cold")),
        Target("warm, page cache of the disk", ("disk", "warm"),
               ("vellum", "warm"), at_least=0.9),
        Target("warm, passthrough", ("passthrough", "warm"),
               ("vellum", "warm")),
    )

    def fill(self, system, size):
        write_file(os.path.join(system.root, "file"), size)

    def once(self, system, size, _):
        path = os.path.join(system.root, "file")
        forget_file(path)
        with Clock() as cold:
            read_file(path)
        share = cached_share(path)
        # The kernel may take a few pages back.
        expect(share > 0.99, f"the page cache holds {share} of {path} only")
        with Clock() as warm:
            read_file(path)
        return {"cold": cold.seconds, "warm": warm.seconds}

    def finish(self):
        expect(digest(os.path.join(self.opened["vellum"].root, "file")) ==
               expected_digest(self.size), "the file reads differently")
        return []


class RandomAccess(DataRow):
    name = "random"
    title = "random 4 KiB reads, cold; random 4 KiB overwrites; read back"
    sizes = {"small": 4, "full": 1024}
    grows = True
    systems = ("vellum", "passthrough", "disk")
    targets = (
        Target("reads, passthrough", ("passthrough", "one read"),
               ("vellum", "one read"), at_least=0.8),
        Target("overwrites and fsync, passthrough",
               ("passthrough", "one overwrite"), ("vellum", "one overwrite"),
               at_least=0.8),
        Target("reading it all back in order, passthrough",
               ("passthrough", "read back"), ("vellum", "read back"),
               at_least=0.8),
        Target("reads, disk", ("disk", "one read"), ("vellum", "one read")),
        Target("overwrites and fsync, disk", ("disk", "one overwrite"),
               ("vellum", "one overwrite")),
        Target("reading it all back in order, disk", ("disk", "read back"),
               ("vellum", "read back")),
    )
    block = 4096

    def fill(self, system, size):
        write_file(os.path.join(system.root, "file"), size)
        self.model = bytearray(b"".join(chunk(i) for i in range(size)))

    def once(self, system, size, turn):
        path = os.path.join(system.root, "file")
        blocks = size * MIB // self.block
        # All contenders of a round touch the same places.
        places = random.Random(turn)
        count = min(blocks // 4, 8192)
        reads = [places.randrange(blocks) for _ in range(count)]
        writes = [places.randrange(blocks) for _ in range(count)]
        data = places.randbytes(self.block)
        forget_file(path)
        with open(path, "r+b", buffering=0) as file:
            fd = file.fileno()
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            with Clock() as read:
                for place in reads:
                    os.pread(fd, self.block, place * self.block)
            with Clock() as write:
                for place in writes:
                    os.pwrite(fd, data, place * self.block)
                os.fsync(fd)
        for place in writes:
            at = place * self.block
            self.model[at:at + self.block] = data
        forget_file(path)
        with Clock() as back:
            read_file(path)
        return self.seconds_of(read.seconds, write.seconds, back.seconds, count)

    @staticmethod
    def seconds_of(reads, overwrites, back, count):
        """Of one read and one overwrite, with its share of the fsync: their
        count does not grow with the size throughout."""
        return {"one read": reads / count, "one overwrite": overwrites / count,
                "read back": back}

    def finish(self):
        vellum = self.opened["vellum"]
        path = os.path.join(vellum.root, "file")
        forget_file(path)
        with open(path, "rb") as file:
            expect(file.read() == self.model,
                   "the file differs from what was written into it")
        report = vellum.check()
        return [Fact("extents after the overwrites", report["extents"]),
                Fact("blocks used by blocks of the file",
                     round(report["used_blocks"] * 2048 /
                           (self.size * MIB), 3))]
