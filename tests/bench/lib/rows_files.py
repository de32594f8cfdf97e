# SPDX-License-Identifier: Apache-2.0
"""Many files: creating them, one large directory, and listing all."""

import os
import random
import subprocess
import time

from .host import MIB, Clock, expect, resident_mib
from .rounds import Fact, Row, Target
from .systems import KINDS, Fuse2fs, Vellum

# Until the daemon has seen twice that it does not grow.
IDLE_SECONDS = 12

CONTENT = random.Random(2).randbytes(1024)


def content_of(index):
    return index.to_bytes(8, "little") + CONTENT[8:]


def make_files(root, directories, files, with_content):
    """`files` files, as evenly in `directories` directories as it goes."""
    done = 0
    for d in range(directories):
        folder = os.path.join(root, f"dir{d:05d}")
        os.mkdir(folder)
        last = files * (d + 1) // directories
        while done < last:
            fd = os.open(f"{folder}/file{done:08d}",
                         os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            if with_content:
                os.write(fd, content_of(done))
            os.close(fd)
            done += 1


def check_files(root, files, sample=2000):
    """All are there, and of some (all of few) the content is right."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            found[int(name[4:])] = os.path.join(folder, name)
    expect(sorted(found) == list(range(files)),
           f"{len(found)} files instead of {files}")
    picked = list(found)
    if len(picked) > sample:
        picked = random.Random(3).sample(picked, sample)
    for index in picked:
        with open(found[index], "rb") as file:
            expect(file.read() == content_of(index),
                   f"{found[index]} has another content")


def capacity_for(files):
    """Of a volume, or of an ext4 image: entries, names, room for a commit."""
    return 256 * MIB + files * 8192


def count_lines(root):
    """find -ls, read to the end."""
    done = subprocess.run(["find", root, "-ls"], stdout=subprocess.PIPE,
                          check=True)
    return done.stdout.count(b"\n")


class CreateFiles(Row):
    """Size: files, of 1 KiB, a hundredth of that directories."""

    name = "create"
    title = "create files of 1 KiB, 1,000 a directory, and make them durable"
    sizes = {"small": 200, "full": 100_000}
    smallest = 20
    grows = True
    targets = (
        Target("passthrough", ("passthrough", "create"),
               ("vellum", "create"), at_least=1.0),
        Target("fuse2fs", ("fuse2fs", "create"), ("vellum", "create"),
               at_least=2.0),
        Target("disk", ("disk", "create"), ("vellum", "create")),
    )

    def set_up(self, stack, host, size):
        directories = max(1, size // 1000)
        room = capacity_for(3 * size)
        self.vellum = Vellum(host, capacity=room)
        systems = [self.vellum, KINDS["passthrough"](host), KINDS["disk"](host),
                   Fuse2fs(host, capacity=room, files=3 * size)]
        for system in systems:
            stack.callback(system.close)
        self.size = size

        def once(system, turn):
            root = os.path.join(system.root, f"round{turn}")
            os.mkdir(root)
            system.durable()
            with Clock() as clock:
                make_files(root, directories, size, True)
                system.durable()
            if system is self.vellum:
                self.last = root
            if turn > 1:
                subprocess.run(["rm", "-r", os.path.join(
                    system.root, f"round{turn - 2}")], check=True)
                system.durable()
            return {"create": clock.seconds}

        return {s.name: lambda turn, s=s: once(s, turn) for s in systems}

    def finish(self):
        self.vellum.remount()
        check_files(self.last, self.size)
        self.vellum.check()
        return []


class BigDirectory(Row):
    """Size: names in one directory."""

    name = "directory"
    title = "one directory: create, list, look up, delete half"
    sizes = {"small": 400, "full": 1_000_000}
    smallest = 40
    grows = True
    targets = tuple(
        Target(f"{step}, passthrough", ("passthrough", step), ("vellum", step))
        for step in ("create", "list", "look up", "delete half"))
    # The costs of these steps may grow as the size does, no faster.
    linear = ("create", "list", "look up", "delete half")

    def set_up(self, stack, host, size):
        self.vellum = Vellum(host, capacity=capacity_for(3 * size))
        systems = [self.vellum, KINDS["passthrough"](host)]
        for system in systems:
            stack.callback(system.close)

        def once(system, turn):
            root = os.path.join(system.root, f"round{turn}")
            os.mkdir(root)
            seconds = {}
            with Clock() as clock:
                for i in range(size):
                    os.mknod(f"{root}/name-{i:09d}")
                system.durable()
            seconds["create"] = clock.seconds
            system.remount()
            with Clock() as clock:
                names = [item.name for item in os.scandir(root)]
            seconds["list"] = clock.seconds
            expect(len(names) == size and len(set(names)) == size,
                   f"{len(names)} names instead of {size}")
            order = random.Random(turn)
            system.remount()
            picked = [order.choice(names) for _ in range(size)]
            with Clock() as clock:
                for name in picked:
                    os.stat(f"{root}/{name}")
            seconds["look up"] = clock.seconds
            gone = set(order.sample(names, size // 2))
            with Clock() as clock:
                for name in names:
                    if name in gone:
                        os.unlink(f"{root}/{name}")
                system.durable()
            seconds["delete half"] = clock.seconds
            system.remount()
            expect(set(os.listdir(root)) == set(names) - gone,
                   "not the half that was to stay")
            subprocess.run(["rm", "-r", root], check=True)
            system.durable()
            return seconds

        return {s.name: lambda turn, s=s: once(s, turn) for s in systems}

    def finish(self):
        self.vellum.check()
        # Freed memory is given back when nothing has grown for some seconds.
        time.sleep(IDLE_SECONDS)
        return [Fact("MiB resident afterwards, idle",
                     round(resident_mib(self.vellum.pid())))]


class Find(Row):
    """Size: files, 1,000 a directory."""

    name = "find"
    title = "find -ls of all files, daemon just started"
    sizes = {"small": 300, "full": 1_000_000}
    smallest = 30
    grows = True
    targets = (
        Target("fuse2fs", ("fuse2fs", "find"), ("vellum", "find"),
               at_least=2.0),
        Target("passthrough", ("passthrough", "find"), ("vellum", "find")),
    )

    def set_up(self, stack, host, size):
        directories = max(1, size // 1000)
        plain = KINDS["passthrough"](host)
        stack.callback(plain.close)
        make_files(plain.under, directories, size, False)
        vellum = Vellum(host, capacity=capacity_for(size))
        stack.callback(vellum.close)
        vellum.fill(directories, size)
        other = Fuse2fs(host, capacity=capacity_for(size), files=2 * size,
                        tree=plain.under)
        stack.callback(other.close)

        def once(system):
            system.remount()
            with Clock() as clock:
                lines = count_lines(system.root)
            # fuse2fs has a lost+found.
            want = size + directories + 1 + (system is other)
            expect(lines == want, f"{system.name}: {lines} lines, not {want}")
            return {"find": clock.seconds}

        return {s.name: lambda _, s=s: once(s) for s in (vellum, plain, other)}
