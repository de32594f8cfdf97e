# SPDX-License-Identifier: Apache-2.0
"""Copies of a volume against copies of its image file by other programs."""

import os
import random
import statistics

from .host import (MIB, Clock, disk_bytes_written, expect, forget, fsync_path,
                   run)
from .rounds import Fact, Row, Target, order_of
from .rows_data import chunk
from .systems import Vellum

REGION = 64 << 10


def fill_volume(vellum, megabytes):
    """One file of that size; the volume is a little larger."""
    path = os.path.join(vellum.root, "file")
    with open(path, "wb", buffering=0) as file:
        for i in range(megabytes):
            file.write(chunk(i))
        os.fsync(file.fileno())
    vellum.durable()
    return path


def clear(vellum, medium):
    """Makes it an empty medium of the pool again."""
    vellum.call("format", medium, "--name", "SPARE", "--role", "backup",
                "--clear")


def capacity_of(megabytes):
    return (megabytes * 9 // 8 + 64) * MIB


class FullCopy(Row):
    """Size: MiB of the file on the volume that is copied."""

    name = "copy"
    title = "image and streaming copy of a whole volume"
    sizes = {"small": 8, "full": 4096}
    grows = True
    peers = {
        "dd": ("dd", "if={from}", "of={to}", "bs=1M", "conv=sparse,fsync",
               "status=none"),
        # Around the page cache, in pieces as large as Vellum's.
        "dd, direct": ("dd", "if={from}", "of={to}", "bs=4M",
                       "conv=sparse,fsync", "iflag=direct", "oflag=direct",
                       "status=none"),
        "cp": ("cp", "--sparse=always", "{from}", "{to}"),
        "qemu-img": ("qemu-img", "convert", "-f", "raw", "-O", "raw", "{from}",
                     "{to}"),
        "ddrescue": ("ddrescue", "-q", "-S", "-f", "{from}", "{to}"),
    }
    # contender: words of its command
    modes = {
        "vellum": ("streaming", "--no-verify"),
        "vellum, verified": ("streaming",),
        "vellum image": ("image", "--no-verify"),
        "vellum image, verified": ("image",),
    }
    # What is compared lies side by side: streaming and verified with dd, image
    # copies with the spool file. In this place of the list no round of the
    # first five begins between streaming or verified and their dd.
    order = ("ddrescue", "cp", "vellum image", "dd, spool",
             "vellum image, verified", "dd, direct", "vellum", "dd",
             "vellum, verified", "qemu-img")
    targets = (
        Target("streaming, dd with fsync", ("dd", "copy"), ("vellum", "copy"),
               at_least=0.9),
        Target("image, dd with fsync", ("dd", "copy"), ("vellum image", "copy"),
               at_least=0.9),
        Target("streaming with verification, dd + cmp", ("dd", "copy + cmp"),
               ("vellum, verified", "copy"), at_least=0.9),
        Target("image with verification, dd + cmp", ("dd", "copy + cmp"),
               ("vellum image, verified", "copy"), at_least=0.9),
        # An image copy is staged: everything is written twice.
        Target("image, dd by way of a spool file", ("dd, spool", "copy"),
               ("vellum image", "copy")),
        Target("image with verification, dd by way of a spool file + cmp",
               ("dd, spool", "copy + cmp"), ("vellum image, verified", "copy")),
        Target("streaming, dd around the page cache", ("dd, direct", "copy"),
               ("vellum", "copy")),
        Target("streaming, cp --sparse", ("cp", "copy"), ("vellum", "copy")),
        Target("streaming, qemu-img convert", ("qemu-img", "copy"),
               ("vellum", "copy")),
        Target("streaming, ddrescue", ("ddrescue", "copy"),
               ("vellum", "copy")),
    )

    def set_up(self, stack, host, size):
        vellum = Vellum(host, capacity=capacity_of(size), media=2)
        stack.callback(vellum.close)
        fill_volume(vellum, size)
        source = vellum.image()
        folder = host.folder("copies")
        self.size = size
        self.written = {}

        def by_vellum(contender):
            mode, *words = self.modes[contender]
            clear(vellum, "V00002")
            os.sync()
            forget(source)
            before = disk_bytes_written(source)
            with Clock() as clock:
                vellum.job("copy", "A", "--mode", mode, "--to", "V00002",
                           *words)
            self.count(contender, source, before)
            # The proof, outside the measurement.
            vellum.compare(vellum.backup_on("V00002"))
            return {"copy": clock.seconds}

        def by_program(name):
            to = os.path.join(folder, name)
            words = [w.format(**{"from": source, "to": to})
                     for w in self.peers[name]]
            forget(source)
            before = disk_bytes_written(source)
            with Clock() as clock:
                run(*words)
                fsync_path(to)
            self.count(name, source, before)
            seconds = {"copy": clock.seconds}
            forget(to)
            with Clock() as compare:
                run("cmp", source, to)
            if name == "dd":
                seconds["copy + cmp"] = clock.seconds + compare.seconds
            host.remove(to)
            return seconds

        def by_way_of_spool(name):
            """What dd would have to do with one drive."""
            spool = os.path.join(folder, "spool")
            to = os.path.join(folder, "spooled")
            forget(source)
            before = disk_bytes_written(source)
            with Clock() as clock:
                run("dd", f"if={source}", f"of={spool}", "bs=1M",
                    "conv=sparse", "status=none")
                run("dd", f"if={spool}", f"of={to}", "bs=1M",
                    "conv=sparse,fsync", "status=none")
            self.count(name, source, before)
            forget(to)
            with Clock() as compare:
                run("cmp", spool, to)
            run("cmp", source, to)
            host.remove(spool)
            host.remove(to)
            return {"copy": clock.seconds,
                    "copy + cmp": clock.seconds + compare.seconds}

        works = {"dd, spool": by_way_of_spool}
        works.update(dict.fromkeys(self.modes, by_vellum))
        works.update(dict.fromkeys(self.peers, by_program))
        return {name: lambda _, n=name: works[n](n) for name in self.order}

    def count(self, name, path, before):
        """What the disk has been given when the contender says it is done."""
        after = disk_bytes_written(path)
        if before is not None:
            self.written.setdefault(name, []).append(
                (after - before) / (self.size * MIB))

    def finish(self):
        return [Fact(f"bytes given to the disk by bytes copied, {name}",
                     round(statistics.median(values), 2))
                for name, values in self.written.items()]


class Incremental(Row):
    """Size: MiB of the file; 0.1, 1 and 10 % of its regions are changed."""

    name = "incremental"
    title = "incremental copy of changed regions, against rsync --inplace"
    sizes = {"small": 16, "full": 4096}
    grows = True
    points = tuple((percent, how) for percent in (0.1, 1, 10)
                   for how in ("scattered", "clustered"))
    targets = tuple(
        target for percent, how in points for target in (
            Target(f"{percent} % {how}, share of the full copy",
                   ("vellum", f"{percent} % {how}"), ("vellum", "full"),
                   at_most=0.03 if percent == 1 else None),
            # Between local files rsync copies whole ones unless told.
            Target(f"{percent} % {how}, rsync --inplace",
                   ("rsync", f"{percent} % {how}"),
                   ("vellum", f"{percent} % {how}"), at_least=1.0),
            Target(f"{percent} % {how}, rsync --inplace --no-whole-file",
                   ("rsync, delta", f"{percent} % {how}"),
                   ("vellum", f"{percent} % {how}"), at_least=1.0)))

    def set_up(self, stack, host, size):
        vellum = Vellum(host, capacity=capacity_of(size), media=3)
        stack.callback(vellum.close)
        path = fill_volume(vellum, size)
        folder = host.folder("rsync")
        copies = [os.path.join(folder, name) for name in ("whole", "delta")]
        regions = size * MIB // REGION
        self.changed = {}
        vellum.job("copy", "A", "--mode", "streaming", "--to", "V00002")
        backup = vellum.backup_on("V00002")
        for copy in copies:
            run("cp", "--sparse=always", vellum.image(), copy)

        def change(percent, how, turn):
            count = max(1, round(regions * percent / 100))
            order = random.Random(f"{percent} {how} {turn}")
            if how == "scattered":
                picked = sorted(order.sample(range(regions), count))
            else:
                first = order.randrange(regions - count + 1)
                picked = range(first, first + count)
            data = order.randbytes(REGION)
            with open(path, "r+b", buffering=0) as file:
                for region in picked:
                    os.pwrite(file.fileno(), data, region * REGION)
            vellum.durable()
            return count

        def incremental():
            job = vellum.job("copy", "A", "--mode", "incremental", "--to",
                             "V00002")
            expect(job["method"] == "incremental", f"a full copy: {job}")

        def rsync(copy, *words):
            # It takes files of one size and one second for equal, else.
            run("rsync", "--inplace", "--ignore-times", *words,
                vellum.image(), copy)
            fsync_path(copy)

        works = {"vellum": incremental,
                 "rsync": lambda: rsync(copies[0]),
                 "rsync, delta": lambda: rsync(copies[1], "--no-whole-file")}

        def once(turn):
            """All copy the same changes, in turn."""
            seconds = {name: {} for name in works}
            for percent, how in self.points:
                name = f"{percent} % {how}"
                count = change(percent, how, turn)
                track = [row for row in vellum.table("tracking")
                         if row["backup_disk"] == backup]
                self.changed[name] = track[0]["changed_bytes"] / REGION / count
                for who in order_of(list(works), turn):
                    os.sync()
                    with Clock() as clock:
                        works[who]()
                    seconds[who][name] = clock.seconds
                # The proof, outside the measurement.
                vellum.compare(backup)
                for copy in copies:
                    run("cmp", vellum.image(), copy)
            clear(vellum, "V00003")
            os.sync()
            forget(vellum.image())
            with Clock() as clock:
                vellum.job("copy", "A", "--mode", "streaming", "--to", "V00003")
            seconds["vellum"]["full"] = clock.seconds
            return seconds

        # One contender drives all: they copy the same changes.
        kept = {}

        def turn_of(name, turn):
            if turn not in kept:
                kept[turn] = once(turn)
            return kept[turn][name]

        return {name: lambda turn, n=name: turn_of(n, turn)
                for name in works}

    def finish(self):
        return [Fact(f"{name}: regions copied by regions overwritten",
                     round(value, 2)) for name, value in self.changed.items()]
