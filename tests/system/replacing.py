#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills and power cuts inside convert, promote and restore.

The daemon dies before every write and flush that such a command makes to media
and catalog, one after the other (strace counts them); each time as a kill, and
as a power cut: then 512-byte sectors of the media, and the tail of the catalog's
log, that were written and not flushed are lost, all of them or at random.
Afterwards the volumes are what they were or what they were to be (a medium under
restore may be incomplete, and its job goes on by itself), the command can be
given again, and ends as if nothing had been: every tree with all its metadata is
where it should be, fsck is clean, media are at home. At the end of each command
it must be noticed when flushed writes are lost all the same.
VELLUM_ROUNDS (0: all) limits the deaths of each command; VELLUM_SEED repeats
what is lost.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from harness import (CommandError, Failure, Library, ReadOnlyMount, await_true,
                     describe_tree, expect, seed_and_rounds)

SECTOR = 512
CALLS = "write,pwrite64,fdatasync,fsync,fallocate,ftruncate"
LINE = re.compile(r"^\d+ +(\w+)\(\d+<([^>]+)>(.*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
UNFINISHED = re.compile(r"^(\d+) +(.*?) *<unfinished \.\.\.>$")


class Tracer:
    """strace on the daemon; SIGKILL before a thread's call number `when`."""

    def __init__(self, library, when):
        self.library, self.log = library, os.path.join(library.work, "trace")
        self.paths = [library.image(medium) for medium in library.places()]
        links = f"/proc/{library.pid}/fd"
        self.wal = next(path for path in (
            os.readlink(os.path.join(links, fd)) for fd in os.listdir(links))
            if path.startswith(library.dir) and path.endswith(".log")
            and "/catalog/" in path)
        words = ["strace", "-f", "-qq", "-y", "-s", "0", "-o", self.log, "-e",
                 "trace=" + CALLS, "-p", str(library.pid)]
        for path in (*self.paths, self.wal):
            words += ["-P", path]
        if when is not None:
            words += ["-e", f"inject={CALLS}:signal=KILL:when={when}"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        await_true(self.attached, "strace on the daemon")

    def attached(self):
        tasks = f"/proc/{self.library.pid}/task"
        for task in os.listdir(tasks):
            with open(os.path.join(tasks, task, "status"),
                      encoding="utf-8") as file:
                if "TracerPid:\t0\n" in file.read():
                    return False
        return True

    def end(self):
        """Lets go of a daemon that lives. One that was killed is seen out by
        strace itself, which some kernels let wait for ever."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def calls(self):
        """(call, path, numbers of its arguments) in order."""
        begun, found = {}, []
        with open(self.log, encoding="utf-8") as file:
            for line in file:
                line = line.rstrip("\n")
                if match := UNFINISHED.match(line):
                    begun[match.group(1)] = match.group(2)
                    continue
                if match := RESUMED.match(line):
                    rest = begun.pop(match.group(1), None)
                    if rest is None:
                        continue
                    line = f"{match.group(1)} {rest}{match.group(3)}"
                match = LINE.match(line)
                if match and " = -1 " not in line and " = ?" not in line:
                    numbers = [int(n) for n in re.findall(
                        r"(?<=, )\d+", match.group(3).split(")")[0])]
                    found.append((match.group(1), match.group(2), numbers))
        return found


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


def lose(tracer, base, rng, how):
    """What a power cut takes away of what was not flushed: `how` is "all",
    "some", or, as no medium may, "flushed" too. Answers how many sectors are
    gone."""
    pending = {path: set() for path in tracer.paths}
    flushed = {path: set() for path in tracer.paths}
    tail = 0
    for call, path, numbers in tracer.calls():
        if path == tracer.wal:
            tail = tail + numbers[-1] if call == "write" else 0
        elif path not in pending:
            continue
        elif call in ("fdatasync", "fsync"):
            if how != "flushed":
                flushed[path] |= pending[path]
                pending[path] = set()
        elif call in ("pwrite64", "fallocate"):
            size, offset = (numbers[-2:] if call == "pwrite64"
                            else numbers[-1:-3:-1])
            pending[path].update(range(offset // SECTOR,
                                       -(-(offset + size) // SECTOR)))
    gone = 0
    for path, sectors in pending.items():
        # What stood there before is known of sectors written once only.
        lost = sorted(sectors - flushed[path])
        if how == "some":  # of long stretches, pieces
            piece = 1 if len(lost) < 4096 else 256
            kept = {p for p in sorted({s // piece for s in lost})
                    if rng.random() < 0.5}
            lost = [s for s in lost if s // piece not in kept]
        with open(os.path.join(base, os.path.basename(path)), "rb") as old, \
                open(path, "r+b") as new:
            for begin, end in stretches(lost):
                old.seek(begin * SECTOR)
                new.seek(begin * SECTOR)
                new.write(old.read((end - begin) * SECTOR))
        gone += len(lost)
    if tail and how != "flushed":
        tail = tail if how == "all" else rng.randrange(tail + 1)
        os.truncate(tracer.wal, max(0, os.path.getsize(tracer.wal) - tail))
    return gone


class Counts:
    deaths = cuts = lost = before = after = incomplete = resumed = 0


class Test:
    def __init__(self, library, seed):
        self.library = library
        self.rng = random.Random(seed)
        self.template = os.path.join(library.work, "template")
        self.base = os.path.join(library.work, "base")
        os.mkdir(self.base)
        self.homes = library.places()
        self.trees = {}  # "new": of the primary, "old": of its backup
        self.counts = Counts()

    def prepare(self):
        library = self.library
        library.start()
        library.tell("format V00001 name=VOL")
        for name in ("a", "b", "c"):
            os.makedirs(library.path("VOL", "folder", name))
        for i in range(8):
            path = library.path("VOL", "folder", "abc"[i % 3], f"file{i}")
            with open(path, "wb") as file:
                file.write(self.rng.randbytes(20_000 * i))
            os.chmod(path, 0o600 + i)
            os.utime(path, ns=(10**18 + i, 10**18 + 12345 * i))
        os.symlink("a/file0", library.path("VOL", "folder", "link"))
        library.tell("sync VOL")
        self.trees["old"] = describe_tree(library.path("VOL"))
        row = library.wait_job(
            library.tell("copy VOL mode=streaming to=V00002")["job"])
        expect(row["state"] == "done", f"copy: {row}")
        for i in range(1, 8, 2):
            with open(library.path("VOL", "folder", "abc"[i % 3], f"file{i}"),
                      "r+b") as file:
                file.write(self.rng.randbytes(9_000))
        os.unlink(library.path("VOL", "folder", "a", "file6"))
        os.mkdir(library.path("VOL", "later"))
        library.tell("sync VOL")
        self.trees["new"] = describe_tree(library.path("VOL"))
        library.unmount()
        shutil.copytree(library.dir, self.template, symlinks=True,
                        copy_function=copy_sparse)

    # --- One death

    def reset(self):
        shutil.rmtree(self.library.dir)
        shutil.copytree(self.template, self.library.dir, symlinks=True,
                        copy_function=copy_sparse)
        self.library.start()
        # Both media in drives, so that the command begins at once.
        self.library.tell("fsck V00002")
        self.library.tell("fsck VOL")

    def give(self, command):
        """Whether the daemon lived to the end of the command."""
        try:
            result = self.library.tell(command)
            if "job" in result:
                row = self.library.wait_job(result["job"])
                expect(row["state"] == "done", f"{command}: {row}")
        except (OSError, json.JSONDecodeError):
            return False  # it is gone: checked by the caller
        return True

    def die(self, command, when, how):
        """Gives the command to a daemon that dies on the way. Answers whether
        it died."""
        self.reset()
        tracer = Tracer(self.library, when)
        for path in tracer.paths:
            copy_sparse(path, os.path.join(self.base, os.path.basename(path)))
        try:
            lived = self.give(command)
        finally:
            tracer.end()
        if lived:
            if how == "flushed":  # the control: everything is lost
                self.library.kill()
                self.library.unmount()
                lose(tracer, self.base, self.rng, how)
                return True
            self.library.unmount()
            return False
        self.library.await_free()
        self.library.unmount()
        self.counts.deaths += 1
        if how != "kept":
            self.counts.cuts += 1
            self.counts.lost += lose(tracer, self.base, self.rng, how)
        return True

    # --- What there is

    def volumes(self):
        """name -> (role, medium)"""
        return {row["volume"]: (row["role"], row["medium"])
                for row in self.library.table("media") if row["volume"]}

    def tree(self, name, role):
        if role == "primary":
            return describe_tree(self.library.path(name))
        with ReadOnlyMount(self.library, volume=name) as side:
            return describe_tree(side)

    def has(self, name, role, medium, which):
        volumes = self.volumes()
        expect(volumes.get(name) == (role, medium),
               f"{name} should be a {role} on {medium}: {volumes}")
        seen, wanted = self.tree(name, role), self.trees[which]
        for path in sorted(seen.keys() | wanted.keys()):
            expect(seen.get(path) == wanted.get(path),
                   f"{name}: {path} is {str(seen.get(path))[:150]}, not "
                   f"{str(wanted.get(path))[:150]}")
        self.library.fsck(name)

    def finish(self, names):
        """Volumes that are written go on, and all media go home."""
        for name in names:
            path = self.library.path(name, "written-behind")
            with open(path, "wb") as file:
                file.write(b"behind")
            self.library.tell(f"sync {name}")
        self.library.unmount()
        expect(self.library.places() == self.homes,
               f"not at home: {self.library.places()}")

    def count(self, done):
        if done:
            self.counts.after += 1
        else:
            self.counts.before += 1

    def check_convert(self):
        self.library.start()
        self.has("VOL", "primary", "V00001", "new")
        done = "NEW" in self.volumes()
        self.count(done)
        if not done:
            self.has("V00002", "backup", "V00002", "old")
            self.library.tell("convert V00002 name=NEW")
        self.has("NEW", "primary", "V00002", "old")
        self.finish(["VOL", "NEW"])

    def check_promote(self):
        self.library.start()
        volumes = self.volumes()
        done = volumes.get("VOL") == ("primary", "V00002")
        self.count(done)
        retired = next((name for name, (role, medium) in volumes.items()
                        if (role, medium) == ("primary", "V00001")), "none")
        expect(retired in ("VOL", "VOL-OLD1"), f"V00001 is lost: {volumes}")
        self.has(retired, "primary", "V00001", "new")
        if not done:
            self.has("V00002", "backup", "V00002", "old")
            self.library.tell("promote V00002")
        self.has("VOL", "primary", "V00002", "old")
        self.has("VOL-OLD1", "primary", "V00001", "new")
        self.finish(["VOL", "VOL-OLD1"])

    def check_restore(self):
        info = self.library.call("info", "--image",
                                 self.library.image("V00001"), "--json")
        incomplete = json.loads(info.stdout)["state"] == "incomplete"
        self.library.start()
        jobs = [row["id"] for row in self.library.table("jobs")
                if row["kind"] == "restore"]
        resumed = [j for j in jobs if self.library.took_up_again(j)]
        for job in resumed:
            row = self.library.wait_job(job)
            expect(row["state"] == "done", f"restore: {row}")
        self.counts.resumed += len(resumed)
        self.counts.incomplete += incomplete
        expect(resumed or not incomplete, "a restore was not taken up again")
        self.has("V00002", "backup", "V00002", "old")
        if not resumed and not jobs:
            self.count(False)
            self.has("VOL", "primary", "V00001", "new")
        else:
            self.count(True)
            self.has("VOL", "primary", "V00001", "old")
        row = self.library.wait_job(
            self.library.tell("restore VOL from=V00002 confirm=yes")["job"])
        expect(row["state"] == "done", f"restore again: {row}")
        self.has("VOL", "primary", "V00001", "old")
        self.finish(["VOL"])

    # --- All of one command

    def everywhere(self, command, check, rounds):
        steps = 0
        for when in range(1, 1000):
            if rounds and when > rounds:
                break
            died = True
            for how in ("kept", "all", "some"):
                try:
                    died = self.die(command, when, how)
                    if not died:
                        break
                    check()
                except (Failure, CommandError, OSError) as failure:
                    raise Failure(f"{command}: death before call {when}, "
                                  f"unflushed {how}: {failure}") from failure
            if not died:
                break
            steps += 1
        expect(steps > 2 or rounds, f"{command}: only {steps} deaths")
        # Control: all its writes lost, though they were flushed.
        self.die(command, None, "flushed")
        counts, self.counts = self.counts, Counts()
        try:
            check()
            noticed = self.counts.before > 0
        except (Failure, CommandError, OSError):
            noticed = True
        self.counts = counts
        expect(noticed, f"{command}: that all its writes were lost")
        self.library.unmount()
        return steps


def copy_sparse(source, target):
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)


def main():
    seed, rounds = seed_and_rounds("replacing", 0)
    with Library(media=3, checkpoint_ms=3600_000) as library:
        test = Test(library, seed)
        test.prepare()
        begin = time.monotonic()
        steps = {command: test.everywhere(command, check, rounds)
                 for command, check in (
                     ("convert V00002 name=NEW", test.check_convert),
                     ("promote V00002", test.check_promote),
                     ("restore VOL from=V00002 confirm=yes",
                      test.check_restore))}
    c = test.counts
    said = ", ".join(f"{command.split()[0]} {n}"
                     for command, n in steps.items())
    print(f"replacing: deaths before each write and flush: {said} places; "
          f"{c.deaths} deaths, {c.cuts} of them power cuts ({c.lost} sectors "
          f"lost); afterwards the command had not happened "
          f"{c.before}, had happened {c.after} times ({c.resumed} restores went "
          f"on by themselves, {c.incomplete} of incomplete volumes); nothing "
          f"lost; {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"replacing: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
