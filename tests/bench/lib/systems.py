# SPDX-License-Identifier: Apache-2.0
"""Vellum and its peers as file systems to work in.

Each has: `name`; `root`, a directory to work in; durable(), after which what
was written survives a power cut; remount(), after which the kernel and the
daemon know nothing of it any more."""

import json
import os
import re

from .host import (MIB, await_true, expect, forget_all, fsync_path,
                   mounts_below, run, sync_file_system, unmount)


class Disk:
    """A directory of the file system that everything else stands on."""

    name = "disk"

    def __init__(self, host):
        self.root = host.folder("disk")

    def durable(self):
        sync_file_system(self.root)

    def remount(self):
        forget_all(self.root)

    def close(self):
        pass


class Passthrough:
    """The same directory through FUSE."""

    name = "passthrough"
    options = ()

    def __init__(self, host):
        self.host = host
        self.under = host.folder("under")
        self.root = host.folder("passthrough")
        self.child = None
        self.mount()

    def mount(self):
        self.child = self.host.start(self.host.passthrough, *self.options,
                                     self.under, self.root)
        await_true(lambda: self.root in mounts_below(self.host.work),
                   "the passthrough's mount")

    def durable(self):
        # syncfs(2) does not reach a FUSE daemon: the directory below does it.
        sync_file_system(self.root)
        sync_file_system(self.under)

    def remount(self):
        self.host.stop(self.child)
        forget_all(self.under)
        self.mount()

    def close(self):
        self.host.stop(self.child)


class PassthroughWriteback(Passthrough):
    """With the kernel's write-back cache: write(2) promises less."""

    name = "passthrough+writeback"
    options = ("--writeback",)


class Fuse2fs:
    """ext4 in an image file, by e2fsprogs' FUSE daemon."""

    name = "fuse2fs"

    def __init__(self, host, capacity=1 << 30, files=10000, tree=None):
        self.host = host
        self.image = os.path.join(host.folder("fuse2fs"), "image")
        with open(self.image, "wb") as file:
            file.truncate(capacity)
        words = ["mkfs.ext4", "-q", "-F", "-N", files + 5000]
        if tree is not None:
            words += ["-d", tree]
        run(*words, self.image)
        self.root = host.folder("fuse2fs-mount")
        self.child = None
        self.mount()

    def mount(self):
        self.child = self.host.start("fuse2fs", "-f", self.image, self.root)
        await_true(lambda: self.root in mounts_below(self.host.work),
                   "fuse2fs's mount")

    def durable(self):
        # Its fsync of anything writes everything that it holds.
        sync_file_system(self.root)
        fsync_path(self.root)
        fsync_path(self.image)

    def remount(self):
        self.close()
        fsync_path(self.image)
        forget_all(self.image)
        self.mount()

    def close(self):
        unmount(self.root)
        self.host.await_end(self.child)


class Vellum:
    """A library of its own with a volume A on V00001, and its daemon."""

    name = "vellum"

    def __init__(self, host, capacity=1 << 30, media=1, drives=2,
                 checkpoint_ms=None):
        self.host = host
        self.dir = os.path.join(host.folder("library"), "lib")
        self.mount_point = host.folder("vellum")
        self.root = os.path.join(self.mount_point, "A")
        # Rounded down by init; nothing smaller is worth a measurement.
        run(host.vellum, "init", self.dir, "--slots", media + 1, "--media",
            media, "--drives", drives, "--capacity", max(capacity, 64 * MIB))
        if checkpoint_ms is not None:
            self.configure("checkpoint_interval_ms", checkpoint_ms)
        self.mount()
        self.call("format", "V00001", "--name", "A")

    def fill(self, directories, files, tops=0):
        """As many empty files, as evenly in the directories as it goes; these
        in `tops` others, or all in the volume's."""
        self.unmount()
        run(self.host.fill, self.dir, "A", directories, files, tops)
        self.mount()

    def configure(self, key, value):
        path = os.path.join(self.dir, "library.toml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def call(self, *words, codes=(0,)):
        return run(self.host.vellum, "--mount", self.mount_point, *words,
                   codes=codes)

    def json(self, *words):
        return json.loads(self.call(*words, "--json"))

    def table(self, name):
        path = os.path.join(self.mount_point, ".vellum", name + ".json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def mount(self):
        run(self.host.vellum, "mount", self.dir, self.mount_point)

    def unmount(self):
        pid = self.pid()
        run(self.host.vellum, "unmount", self.mount_point)
        await_true(lambda: not os.path.exists(f"/proc/{pid}"),
                   "the end of the daemon")

    def pid(self):
        return self.table("status")["pid"]

    def volume(self, name):
        return os.path.join(self.mount_point, name)

    def image(self, medium="V00001"):
        return os.path.join(self.dir, "media", medium + ".img")

    def durable(self):
        self.call("sync")

    def forget_all(self):
        forget_all(self.dir)

    def remount(self):
        self.unmount()
        self.forget_all()
        self.mount()

    def info(self, volume="A"):
        path = os.path.join(self.mount_point, ".vellum", "volumes", volume,
                            "info.json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def backup_on(self, medium):
        """The id of the volume on a medium."""
        rows = [row for row in self.table("media") if row["medium"] == medium]
        expect(rows and rows[0]["volume"], f"{medium} has no volume")
        return rows[0]["volume"]

    def job(self, *words):
        """A job to its end; its row of the table."""
        before = {job["id"] for job in self.table("jobs")}
        self.call(*words, "--wait")
        new = [job for job in self.table("jobs") if job["id"] not in before]
        expect(len(new) == 1 and new[0]["state"] == "done",
               f"{words}: {new}")
        return new[0]

    def compare(self, backup):
        """That A and its backup are equal, but for what changed since."""
        self.call("compare", "A", backup)

    def check(self):
        """fsck, file data too; the report."""
        answer = json.loads(self.call("fsck", "A", "--data", "--json"))
        report = answer.get("result", answer)
        expect(report["clean"], f"fsck: {report}")
        return report

    def close(self):
        pid = self.pid()
        run(self.host.vellum, "unmount", "--force", self.mount_point)
        await_true(lambda: not os.path.exists(f"/proc/{pid}"),
                   "the end of the daemon")


KINDS = {kind.name: kind
         for kind in (Vellum, Disk, Passthrough, PassthroughWriteback, Fuse2fs)}
