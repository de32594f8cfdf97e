#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Media of different kinds in one virtual library (H2): write-once,
write-protected and smaller ones, as copies meet them."""

import json
import os
import shutil
import sys

from harness import CommandError, Failure, Library, expect, expect_same_trees


class Test:
    def __init__(self, library):
        self.library = library

    def add(self, *words):
        self.library.call("medium", "add", self.library.dir, *words)

    def copy(self, mode, medium="", state="done"):
        to = f" to={medium}" if medium else ""
        job = self.library.tell(f"copy PHOTOS mode={mode}{to}")["job"]
        row = self.library.wait_job(job)
        expect(row["state"] == state, f"copy {mode} to {medium}: {row}")
        return row

    def refused(self, code, command):
        try:
            self.library.tell(command)
        except CommandError as error:
            expect(error.code == code, f"{command}: {error.code}: {error}")
            return str(error)
        raise Failure(f"{command} succeeded")

    def medium(self, tag):
        return next(m for m in self.library.table("media")
                    if m["medium"] == tag)

    def written(self, tag):
        path = os.path.join(self.library.dir, "media", tag + ".json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)["written"]

    def image(self, tag):
        with open(self.library.image(tag), "rb") as file:
            return file.read()

    def refused_by_once(self, tag):
        before = self.image(tag)
        for mode in ("image", "streaming"):
            row = self.refused_copy(mode, tag)
            expect("write-once" in row, row)
        self.refused("INCOMPATIBLE", f"format {tag} name=NEW clear=yes")
        self.refused("WRITE_PROTECTED", f"convert {tag}")
        expect(self.image(tag) == before, f"{tag} was changed")

    def refused_copy(self, mode, tag):
        """The message, whether the job or the command says it."""
        try:
            job = self.library.tell(f"copy PHOTOS mode={mode} to={tag}")["job"]
        except CommandError as error:
            return str(error)
        row = self.library.wait_job(job)
        expect(row["state"] == "failed", f"copy {mode} to {tag}: {row}")
        return row["message"]

    def look_inside(self, tag):
        library = self.library
        library.fsck(tag)
        job = library.tell(f"compare PHOTOS {tag}")["job"]
        expect(library.wait_job(job)["state"] == "done", f"compare {tag}")
        library.call("--mount", library.mount, "mount", "--volume", tag,
                     library.side)
        expect_same_trees(library.path("PHOTOS", "d"),
                          os.path.join(library.side, "d"))
        library.call("unmount", library.side)

    def run(self):
        library = self.library
        self.add("--tag", "ONCE1", "--write-once")
        self.add("--tag", "ONCE2", "--write-once")
        self.add("--tag", "ONCE3", "--write-once", "--capacity", "32Mi")
        self.add("--tag", "SMALL", "--capacity", "32Mi")
        self.add("--tag", "LOCKED", "--write-protected")
        library.start()
        library.tell("format V00001 name=PHOTOS")
        os.mkdir(library.path("PHOTOS", "d"))
        for number in range(30):
            with open(library.path("PHOTOS", "d", f"f{number}"), "wb") as file:
                file.write(bytes([number]) * (number * 4000 + 7))
        library.tell("sync")

        # A copy onto a smaller medium, and onto one that takes nothing.
        expect("sectors" in self.refused_copy("image", "SMALL"), "SMALL")
        expect("sectors" in self.refused_copy("image", "ONCE3"), "ONCE3")
        expect(self.written("ONCE3") == "blank", "ONCE3 was written")
        expect("write-protected" in self.refused_copy("image", "LOCKED"),
               "LOCKED")

        # Incremental: not onto a write-once medium.
        said = self.refused_copy("incremental", "ONCE1")
        expect("image or streaming copy" in said, f"incremental: {said}")
        expect(self.written("ONCE1") == "blank", "ONCE1 was written")
        self.copy("image", "ONCE1")
        self.copy("streaming", "ONCE2")
        for tag in ("ONCE1", "ONCE2"):
            expect(self.written(tag) == "closed", f"{tag} is not closed")
            expect(self.medium(tag)["class"] == "write-once", self.medium(tag))
            expect(self.medium(tag)["volume_state"] == "complete", tag)
            self.look_inside(tag)
            self.refused_by_once(tag)

        # A copy without a target takes a medium that can take it.
        row = self.copy("image")
        expect(row["medium"] not in ("ONCE1", "ONCE2", "ONCE3", "SMALL",
                                     "LOCKED", "V00001"), row)
        row = self.copy("incremental")
        expect(row["method"] == "incremental", row)

        # From the media alone.
        library.unmount()
        shutil.rmtree(os.path.join(library.dir, "catalog"))
        library.start()
        library.tell("inventory all=yes")
        expect(self.medium("ONCE1")["volume_state"] == "complete", "ONCE1")
        self.look_inside("ONCE2")

        # A copy that is broken off spoils the medium, and is no backup.
        library.unmount()
        self.add("--tag", "ONCE4", "--write-once")
        library.start()
        job = library.tell("copy PHOTOS mode=image to=ONCE4")["job"]
        while library.job(job)["state"] not in ("writing", "verifying", "done"):
            pass
        library.kill()
        library.unmount()
        library.start()
        row = library.wait_job(job)
        if self.written("ONCE4") == "open":
            expect(row["state"] == "failed", row)
            expect("write-once" in row["message"], row)
            state = self.medium("ONCE4")["volume_state"]
            expect(state in ("incomplete", "FOREIGN"), f"ONCE4: {state}")
        library.unmount()


def main():
    with Library(media=3, slots=12) as library:
        Test(library).run()
    print("media_kinds: ok")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"media_kinds: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
