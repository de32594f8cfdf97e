#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile media in a virtual library, beside good ones: one daemon inventories,
reads, writes, checks, copies, compares and restores them, and their images are
mounted. It goes on, says what is wrong and where, and harms nothing else."""

import collections
import contextlib
import errno
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys

from harness import CommandError, Failure, Library, expect, must_fail

IMAGES = os.environ.get("HOSTILE_IMAGES", "build/tests/hostile_images")
DAMAGE = os.environ.get("DAMAGE_IMAGE", "build/tests/damage_image")
CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz",
                      "corpus")
# Longer is a hang, also on a loaded machine.
PATIENCE = 60
# What damage is to a program. EIO would be a device's, or lost changes'.
ERRNOS = {errno.EUCLEAN, errno.EROFS, errno.ENOSPC, errno.ENOENT, errno.EEXIST,
          errno.EOPNOTSUPP, errno.ENODATA, errno.EISDIR, errno.ENOTDIR,
          errno.EACCES, errno.EMEDIUMTYPE}
# Where: what is said of damage has a word for a place with its number.
PLACE = re.compile(r"\b(sectors?|blocks?|byte|offset|line|entry|element|region|"
                   r"inode|directory):? \d")
# Changes that could not be committed: an error of the volume, not of a place.
LOST = "are lost"


@contextlib.contextmanager
def limit(what, seconds=PATIENCE):
    def over(*_):
        raise Failure(f"{what}: no end within {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Test:
    def __init__(self, library, count, seed):
        self.library = library
        self.images = os.path.join(library.work, "images")
        os.mkdir(self.images)
        self.how = [str(count), str(seed)]
        self.seed = seed
        self.origins = self.make_images()
        self.backups = [f"B{number:05}" for number in range(1, 7)]
        # Their newest record has a note: the first one's is right.
        self.noted = [f"N{number:05}" for number in range(1, 7)]
        self.counts = collections.Counter()
        self.problems = []
        self.sums = {}

    def make_images(self, *media):
        """By tag: what each medium is made of."""
        made = subprocess.run(
            [IMAGES, CORPUS, self.images, *self.how, *media], check=True,
            stdout=subprocess.PIPE, text=True, timeout=240).stdout
        return dict(line.split(" ", 1) for line in made.splitlines())

    def image(self, tag, good=False):
        return os.path.join(self.images, tag + (".good.img" if good
                                                else ".img"))

    # --- What is said

    def check_said(self, what, message, code, names):
        """A refusal says whose, what and where."""
        message = message.strip()
        self.counts["refusals"] += 1
        if (code in ("INTERNAL", "INVALID_ARGUMENT")
                or code == "DEVICE_ERROR" and LOST not in message):
            self.problems.append(f"{what}: {code}: {message}")
        if not any(name in message for name in names):
            self.problems.append(f"{what}: names none of {names}: {code}: "
                                 f"{message}")
        if code == "CORRUPTION":
            self.counts["damages"] += 1
            if not PLACE.search(message):
                self.problems.append(f"{what}: where? {message}")

    def tell(self, command, *names):
        """Its result; None when it was refused."""
        with limit(command):
            self.counts["commands"] += 1
            try:
                return self.library.tell(command)
            except CommandError as error:
                self.check_said(command, str(error).split(": ", 1)[1],
                                error.code, names)
        return None

    def run_job(self, command, *names):
        """Its row when it is done; None when it was refused or failed."""
        answer = self.tell(command, *names)
        if answer is None:
            return None
        with limit(command):
            row = self.library.wait_job(answer["job"], PATIENCE)
        if row["state"] == "done":
            return row
        expect(row["state"] == "failed", f"{command}: {row}")
        self.check_said(command, row["message"], row["error"], names)
        return None

    def tool(self, codes, *words):
        """A command of the program; exit code 4: it has found damage."""
        with limit(" ".join(words)):
            self.counts["commands"] += 1
            done = self.library.call(*words, codes=codes)
        if done.returncode == 4:
            self.counts["checks with findings"] += 1
        return done

    @contextlib.contextmanager
    def attempt(self, what):
        """System calls that damage may refuse."""
        self.counts["calls"] += 1
        try:
            with limit(what):
                yield
        except OSError as error:
            self.counts["refused calls"] += 1
            if error.errno not in ERRNOS:
                self.problems.append(f"{what}: {error}")

    # --- What is done with them

    def read_tree(self, root):
        """Every name and every file below, as far as they can be read."""
        folders, seen = [root], 0
        while folders and seen < 500:
            folder = folders.pop()
            with self.attempt(f"list {folder}"):
                for entry in os.scandir(folder):
                    seen += 1
                    with self.attempt(f"read {entry.path}"):
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif entry.is_symlink():
                            os.readlink(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            self.read_file(entry.path)
        self.counts["names"] += seen

    def read_file(self, path):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.listxattr(path)
            size = os.fstat(fd).st_size
            for at in {0, size // 2, max(0, size - 5000)}:
                os.pread(fd, 1 << 17, at)
        finally:
            os.close(fd)

    def write_some(self, root):
        path = os.path.join(root, "new")
        with self.attempt(f"write {path}"):
            with open(path, "wb") as file:
                file.write(b"new" * 5000)
                file.flush()
                os.fsync(file.fileno())
        with self.attempt(f"mkdir in {root}"):
            os.mkdir(os.path.join(root, "new folder"))
        with self.attempt(f"append in {root}"):
            with open(os.path.join(root, "inline"), "ab") as file:
                file.write(b"a" * 10000)
        with self.attempt(f"unlink in {root}"):
            os.unlink(os.path.join(root, "dir", "data"))

    def use(self, row, modes):
        volume, medium = row["volume"], row["medium"]
        names = (volume, medium)
        self.tell(f"info {volume}", *names)
        self.tell(f"find * volume={volume}", *names)
        self.read_tree(self.library.path(volume))
        self.check(volume, *names)
        if row["role"] == "primary":
            self.use_primary(volume, modes, *names)
        else:
            self.use_backup(volume, "GOOD", *names)
        self.counts["volumes"] += 1

    def check(self, volume, *names):
        report = self.tell(f"fsck {volume} data=yes", *names)
        if report is None:
            return
        self.counts["checks with findings"] += not report["clean"]
        for found in report["errors"]:
            expect(found["text"] and found["sector"] is not None,
                   f"fsck of {volume}: {found}")

    def use_primary(self, volume, modes, *names):
        self.write_some(self.library.path(volume))
        self.tell(f"sync {volume}", *names)
        for mode in modes:
            # V00003 holds what the one before has left.
            self.library.tell("format V00003 name=FREE role=backup clear=yes")
            copy = self.run_job(f"copy {volume} mode={mode} to=V00003",
                                "V00003", *names)
            if copy is not None:
                self.counts["copies"] += 1
                self.run_job(f"compare {volume} {copy['target']}", *names)
        self.run_job(f"restore {volume} confirm=yes", "V00003", *names)

    def use_backup(self, volume, owner, *names):
        self.run_job(f"compare {owner} {volume}", *names)
        side = self.library.side
        done = self.tool((0, 1), "--mount", self.library.mount, "mount",
                         "--volume", volume, side)
        if done.returncode == 0:
            self.read_tree(side)
            self.library.call("unmount", side)
        else:
            self.check_said(f"mount --volume {volume}", done.stderr, "",
                            names)

    def use_victim(self, backup):
        """A backup that the library made, and whose image was changed then."""
        row = next(row for row in self.library.table("media")
                   if row["medium"] == backup)
        volume = row["volume"]
        names = (volume, backup, "VICTIM")
        self.check(volume, *names)
        self.use_backup(volume, "VICTIM", *names)
        self.run_job(f"restore VICTIM from={volume} confirm=yes", *names)
        self.read_tree(self.library.path("VICTIM"))
        self.run_job(f"copy VICTIM mode=incremental to={volume}", *names)
        self.counts["backups"] += 1

    def use_image(self, tag):
        """The commands that need no daemon, on the image file."""
        copy = os.path.join(self.library.work, tag + ".img")
        shutil.copy(self.image(tag), copy)
        for words in (["info", "--image", copy],
                      ["fsck", "--image", copy, "--data"],
                      ["mount", "--image", copy, self.library.side]):
            done = self.tool((0, 1, 4), *words)
            if done.returncode == 1:
                self.check_said(" ".join(words), done.stderr, "", (tag,))
        if done.returncode == 0:
            self.read_tree(self.library.side)
            self.library.call("unmount", self.library.side)
            self.counts["mounted images"] += 1
        os.unlink(copy)

    # --- The good ones

    def good_sums(self):
        sums = {}
        for folder, _, files in os.walk(self.library.path("GOOD")):
            for name in files:
                if os.path.islink(os.path.join(folder, name)):
                    continue
                with open(os.path.join(folder, name), "rb") as file:
                    sums[name] = hashlib.sha256(file.read()).hexdigest()
        return sums

    def check_good(self, when):
        with limit(f"the good files {when}"):
            expect(self.good_sums() == self.sums, f"GOOD changed {when}")
        try:
            pid = self.library.table("status")["pid"]
        except OSError as error:
            raise Failure(f"the daemon is gone {when}: {error}") from error
        expect(pid == self.library.pid, f"another daemon {when}")

    def fill(self, volume, files):
        for number in range(files):
            path = self.library.path(volume, f"d{number % 3}")
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, f"file {number}"), "wb") as file:
                file.write(os.urandom(number * 5000 + 10))
        os.symlink("d0/x", self.library.path(volume, "link"))

    # --- All of it

    def put(self, good):
        for tag in self.origins:
            image = self.image(tag, good)
            if os.path.exists(image):
                shutil.copy(image, self.library.image(tag))

    def add_media(self):
        for tag in self.origins:
            image = self.image(tag, good=True)
            if not os.path.exists(image):
                image = self.image(tag)
            self.library.call("medium", "add", self.library.dir, "--tag", tag,
                              "--capacity", str(os.path.getsize(image)))
        for tag in self.backups + self.noted:
            self.library.call("medium", "add", self.library.dir, "--tag", tag)

    def prepare(self):
        """A library that knows some of the volumes from before the damage."""
        library = self.library
        self.add_media()
        self.put(good=True)
        library.start()
        library.tell("format V00001 name=GOOD")
        self.fill("GOOD", 12)
        self.sums = self.good_sums()
        library.tell("format V00002 name=VICTIM")
        self.fill("VICTIM", 12)
        for tag in self.noted:
            library.tell(f"format {tag} name=V-{tag}")
            self.fill(f"V-{tag}", 4)
        library.tell("sync")
        for number, tag in enumerate(self.backups):
            mode = ("image", "streaming")[number % 2]
            row = library.wait_job(
                library.tell(f"copy VICTIM mode={mode} to={tag}")["job"])
            expect(row["state"] == "done", f"copy to {tag}: {row}")
        library.tell("inventory all=yes")
        self.counts["known before"] = sum(
            row["medium"] in self.origins and row["volume"] is not None
            for row in library.table("media"))
        library.unmount()
        # The damage is done to what the library has left.
        self.make_images(os.path.join(library.dir, "media"))
        self.put(good=False)
        for number, tag in enumerate(self.backups):
            subprocess.run([DAMAGE, "patch", library.image(tag),
                            str(self.seed + number)], check=True, timeout=240)
        for number, tag in enumerate(self.noted):
            subprocess.run(
                [DAMAGE, "note", library.image(tag),
                 os.path.join(library.dir, "catalog"),
                 str(number and self.seed + number)], check=True, timeout=240)

    def use_noted(self, tag):
        """A primary whose newest record tells the catalog something wrong."""
        volume = f"V-{tag}"
        path = os.path.join(self.library.dir, "state", "daemon.log")
        with open(path, encoding="utf-8") as file:
            begin = len(file.read())
        row = next(row for row in self.library.table("media")
                   if row["medium"] == tag)
        self.use(row, ("image",))
        with open(path, encoding="utf-8") as file:
            said = file.read()[begin:]
        # Else it was not taken for the library's own.
        taken = not re.search(rf"{volume}: (the medium is at|the note of)", said)
        self.counts["notes taken"] += taken
        expect(taken or tag != self.noted[0], f"the right note: {said}")

    def each(self, rows, how, use):
        for tag in rows:
            try:
                use(tag)
                self.check_good(f"behind {tag}")
            except Failure as failure:
                raise Failure(f"{how}: {tag} ({self.origins.get(tag)}): "
                              f"{failure}") from failure

    def use_all(self, how, modes):
        rows = {row["medium"]: row for row in self.library.table("media")
                if row["medium"] in self.origins and row["volume"]}
        self.each(rows, how, lambda tag: self.use(rows[tag], modes))

    def check_found(self, rows):
        for row in rows:
            tag = row["medium"]
            if row.get("read", True) or tag not in self.origins:
                continue
            self.counts["unreadable"] += 1
            code, message = row["found"].split(": ", 1)
            self.check_said(f"inventory: {tag}", message, code, (tag,))

    def run(self):
        library = self.library
        self.prepare()
        library.start()
        self.check_found(self.tell("inventory"))
        self.check_good("behind the inventory")
        self.use_all("with what the catalog knows",
                     ("image", "streaming", "incremental"))
        self.each(self.noted, "with a note", self.use_noted)
        self.each(self.backups, "as a backup", self.use_victim)
        self.check_found(self.tell("reindex mode=reset"))
        self.check_good("behind the reindex")
        self.use_all("with what the media say", ())
        self.each(self.origins, "as an image", self.use_image)
        self.check_itself()
        library.fsck("GOOD")
        library.tell("format V00003 name=FREE role=backup clear=yes")
        row = self.run_job("copy GOOD mode=image to=V00003")
        expect(row is not None, "GOOD cannot be copied any more")
        self.run_job(f"compare GOOD {row['target']}")
        self.end()

    def end(self):
        """Volumes that could not be committed are named; no other is."""
        with limit("unmount"):
            done = self.library.call("unmount", self.library.mount,
                                     codes=(0, 1))
            self.library.await_free()
            self.library.pid = None
        if done.returncode == 1:
            expect("volume V" in done.stderr and "GOOD" not in done.stderr,
                   f"unmount: {done.stderr}")

    def check_itself(self):
        """A hang, a bad word and a lost file would be noticed."""
        must_fail("a hang", lambda: self.hang(), "no end within")
        before, counts = list(self.problems), self.counts.copy()
        for code, message in (("INTERNAL", "V1: block 3"),
                              ("CORRUPTION", "V1: it is damaged"),
                              ("CORRUPTION", "block 3 is damaged")):
            self.check_said("itself", message, code, ("V1",))
            expect(len(self.problems) > len(before), f"{message} is taken")
            self.problems = list(before)
        self.counts = counts
        self.sums["none"] = ""
        must_fail("a lost file", lambda: self.check_good("now"), "changed")
        del self.sums["none"]

    @staticmethod
    def hang():
        with limit("a hang", 0.05):
            signal.pause()


def main():
    seed = int(os.environ.get("VELLUM_SEED", 1))
    count = int(os.environ.get("VELLUM_IMAGES", 12))
    print(f"hostile: VELLUM_SEED={seed} VELLUM_IMAGES={count}", flush=True)
    with Library(media=3, slots=100 + count, capacity="16M") as library:
        test = Test(library, count, seed)
        try:
            test.run()
        finally:
            for problem in test.problems:
                print(f"hostile: {problem}", file=sys.stderr)
        counts = ", ".join(f"{n} {what}" for what, n in test.counts.items())
        print(f"hostile: {len(test.origins)} media, {len(test.noted)} with "
              f"notes, {len(test.backups)} backups: {counts}")
        expect(not test.problems, f"{len(test.problems)} problems")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"hostile: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
