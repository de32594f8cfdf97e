# SPDX-License-Identifier: Apache-2.0
"""A daemon that dies before a chosen write or flush to media, catalog or spool,
as a kill or as a power cut, and what is left of the three then.

death.cc, loaded into the daemon, counts and notes them; VELLUM_DEATH names it.
Needs `library.env` for the daemon's start: see Deaths.
"""

import collections
import json
import mmap
import os
import random
import shutil
import struct
import subprocess

from harness import CommandError, Failure, expect

SECTOR = 512
NOTES = 20_000  # as death.cc
HEAD = struct.Struct("<QQQQ")
NOTE = struct.Struct("<IIqq200s")
WRITE, DISCARD, FLUSH = 1, 2, 3

# What a power cut leaves of what was written and not flushed: all (only the
# program dies), nothing, or some.
WAYS = ("kept", "all", "some")

Call = collections.namedtuple("Call", "kind done offset size path")


class Deaths:
    """The way in which the daemon of this library dies."""

    def __init__(self, library):
        self.library = library
        self.base = os.path.join(library.work, "base")
        os.mkdir(self.base)
        self.file = os.path.join(library.work, "deaths")
        with open(self.file, "wb") as file:
            file.truncate(HEAD.size + NOTES * NOTE.size)
        with open(self.file, "r+b") as file:
            self.control = mmap.mmap(file.fileno(), 0)
        library.env = {"LD_PRELOAD": os.path.abspath(
            os.environ["VELLUM_DEATH"]), "VELLUM_DEATHS": self.file,
            "VELLUM_DEATHS_BELOW": os.path.realpath(library.dir)}

    def arm(self, when):
        """From now on the daemon counts; it dies before call `when` (0: never).
        It is not busy now."""
        for medium in self.library.places():
            copy_sparse(self.library.image(medium), self.base)
        self.control[:] = bytes(len(self.control))
        self.control[:HEAD.size] = HEAD.pack(0, when, 0, 0)
        self.control[:8] = struct.pack("<Q", 1)

    def disarm(self):
        self.control[:8] = bytes(8)

    def calls(self):
        """All calls since, in order; the one it died before is not among them."""
        _, when, count, _ = HEAD.unpack_from(self.control)
        count = min(count, when - 1) if when else count
        expect(count <= NOTES, f"{count} calls are too many")
        found = []
        for number in range(count):
            kind, done, offset, size, path = NOTE.unpack_from(
                self.control, HEAD.size + number * NOTE.size)
            if kind:  # others were killed before they noted it
                found.append(Call(kind, done, offset, size,
                                  path.split(b"\0")[0].decode()))
        return found

    def lose(self, rng, how):
        """What a power cut takes away of what was not flushed: `how` is "all",
        "some", or, as no medium may, "flushed" too. Answers how many sectors are
        gone."""
        pending, tails = collections.defaultdict(set), collections.Counter()
        flushed = collections.defaultdict(set)
        for call in self.calls():
            if call.path.endswith(".log"):
                if call.kind == WRITE:
                    tails[call.path] += call.size
                elif call.kind == FLUSH and call.done:
                    tails[call.path] = 0
            elif not call.path.endswith(".img"):
                continue  # made aside, synced and renamed
            elif call.kind == FLUSH:
                if call.done and how != "flushed":
                    flushed[call.path] |= pending.pop(call.path, set())
            elif call.kind in (WRITE, DISCARD):
                pending[call.path].update(
                    range(call.offset // SECTOR,
                          -(-(call.offset + call.size) // SECTOR)))
        gone = 0
        for path, sectors in pending.items():
            if not os.path.exists(path):
                continue  # of the spool, and given back
            # What stood there before is known of sectors written once only.
            lost = sorted(sectors - flushed[path])
            if how == "some":  # of long stretches, pieces
                piece = 1 if len(lost) < 4096 else 256
                kept = {p for p in sorted({s // piece for s in lost})
                        if rng.random() < 0.5}
                lost = [s for s in lost if s // piece not in kept]
            self.put_back(path, lost)
            gone += len(lost)
        for path, tail in tails.items():
            if tail and how != "flushed":
                tail = tail if how == "all" else rng.randrange(tail + 1)
                os.truncate(path, max(0, os.path.getsize(path) - tail))
        return gone

    def put_back(self, path, sectors):
        """These sectors are as they were when it was armed."""
        old = b""
        base = os.path.join(self.base, os.path.basename(path))
        if os.path.dirname(path).endswith("/media"):
            old = open(base, "rb")
        with open(path, "r+b") as new:
            for begin, end in stretches(sectors):
                size = (end - begin) * SECTOR
                new.seek(begin * SECTOR)
                if old:
                    old.seek(begin * SECTOR)
                    new.write(old.read(size))
                else:
                    new.write(bytes(size))  # the spool's files are new
        if old:
            old.close()


class DeathTest:
    """A library that goes back to where it was saved, again and again, to die in
    the middle of a command each time."""

    def __init__(self, library, seed):
        self.library, self.seed = library, seed
        self.rng = random.Random(seed)
        self.deaths = Deaths(library)
        self.homes = library.places()
        self.died = self.cuts = self.lost = 0  # so many times; sectors
        self.job = None  # of the last command, if it was answered

    def save(self, name):
        """REQUIRES: unmounted."""
        shutil.copytree(self.library.dir,
                        os.path.join(self.library.work, "saved-" + name),
                        symlinks=True, copy_function=copy_sparse)

    def go_back(self, name):
        shutil.rmtree(self.library.dir)
        shutil.copytree(os.path.join(self.library.work, "saved-" + name),
                        self.library.dir, symlinks=True,
                        copy_function=copy_sparse)

    def give(self, command):
        """Whether the daemon lived to the end of the command."""
        self.job = None
        try:
            result = self.library.tell(command)
            if "job" in result:
                self.job = result["job"]
                row = self.library.wait_job(self.job)
                expect(row["state"] == "done", f"{command}: {row}")
        except (OSError, json.JSONDecodeError):
            return False  # it is gone: checked by the caller
        return True

    def die(self, begin, command, when, how):
        """Gives the command to a daemon that `begin` starts and that dies on the
        way. Answers whether it died."""
        begin()
        self.deaths.arm(when)
        lived = self.give(command)
        self.deaths.disarm()
        if lived:
            if how == "flushed":  # the control: everything is lost
                self.library.kill()
                self.library.unmount()
                self.deaths.lose(self.rng, how)
                return True
            self.library.unmount()
            return False
        self.library.await_free()
        self.library.unmount()
        self.died += 1
        if how != "kept":
            self.cuts += 1
            self.lost += self.deaths.lose(self.rng, how)
        return True

    def everywhere(self, begin, command, check, step=1, rounds=0):
        """Dies before every call (every `step`th; the first `rounds` of them),
        in turn in another way, or in all; answers before how many."""
        ways, step = ways_and_step(step)
        tried = 0
        while not rounds or tried < rounds:
            when = 1 + self.seed % step + tried * step
            hows = WAYS if ways > 1 else [WAYS[(tried + self.seed) % len(WAYS)]]
            for how in hows:
                try:
                    if not self.die(begin, command, when, how):
                        expect(tried > 2, f"only {tried} deaths")
                        return tried
                    check()
                except (Failure, CommandError, OSError) as failure:
                    raise Failure(f"{command}: death before call {when}, "
                                  f"unflushed {how}: {failure}") from failure
            tried += 1
        return tried


def stretches(sectors):
    """[begin, end) of sectors in order that are next to each other."""
    begin = end = None
    for sector in sectors:
        if sector != end:
            if begin is not None:
                yield begin, end
            begin = sector
        end = sector + 1
    if begin is not None:
        yield begin, end


def copy_sparse(source, target):
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)


def ways_and_step(step):
    """(in how many ways it dies before each call, before every so manieth),
    from VELLUM_DEATHS (1: in one, in turn) and VELLUM_FAULT_STEP."""
    ways = int(os.environ.get("VELLUM_DEATHS", 1))
    step = int(os.environ.get("VELLUM_FAULT_STEP", step))
    if ways not in (1, len(WAYS)) or step < 1:
        raise Failure("VELLUM_DEATHS is 1 or 3, VELLUM_FAULT_STEP 1 or more")
    return ways, step
