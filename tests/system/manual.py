#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A manual library, with an operator who is a program.

Media are image files in a folder, docks are folders into which the operator
puts symlinks to them. Twice: with one dock and with two.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from harness import (VELLUM, CommandError, Failure, Library, await_true,
                     expect, expect_same_trees)

MEDIA = 4
CAPACITY = 64 << 20


class ManualLibrary(Library):
    """With a shelf of images and folders as docks."""

    def make(self, _slots, _media, docks, _capacity):
        self.shelf = os.path.join(self.work, "shelf")
        os.mkdir(self.shelf)
        for number in range(1, MEDIA + 1):
            with open(self.image(f"V{number:05}"), "wb") as file:
                file.truncate(CAPACITY)
        self.docks = {256 + i: os.path.join(self.work, f"dock{i}")
                      for i in range(docks)}
        words = []
        for folder in self.docks.values():
            os.mkdir(folder)
            words += ["--dock", folder]
        self.call("init", self.dir, "--manual", "--slots", str(MEDIA + 2),
                  "--media", str(MEDIA), *words)

    def image(self, medium):
        return os.path.join(self.shelf, medium)

    # --- What hands do

    def put_in(self, medium, dock):
        os.symlink(self.image(medium), os.path.join(self.docks[dock], medium))

    def take_out(self, dock):
        for name in os.listdir(self.docks[dock]):
            os.unlink(os.path.join(self.docks[dock], name))

    def in_dock(self, dock):
        return sorted(os.listdir(self.docks[dock]))

    def empty_docks(self):
        """Until it was noticed: what was in use is given up."""
        for dock in self.docks:
            self.take_out(dock)
        await_true(lambda: not any(d["medium"] for d in self.table("drives")),
                   "that empty docks are seen")

    # --- What the program asks

    def requests(self):
        return self.table("requests")

    def await_request(self, medium, found=None):
        """The open request for that medium, once it shows what was found."""
        seen = []

        def is_open():
            seen[:] = [r for r in self.requests() if r["medium"] == medium and
                       (found is None or found in (r["found"] or ""))]
            return seen

        await_true(is_open, f"a request for {medium} that says {found}")
        return seen[0]

    def await_no_requests(self):
        await_true(lambda: not self.requests(), "an end of the requests")


class Operator(threading.Thread):
    """Does what is asked for, as long as the context lasts."""

    def __init__(self, library):
        super().__init__()
        self.library = library
        self.ended = threading.Event()
        self.served = []
        self.failure = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.join()
        if kind is None and self.failure is not None:
            raise Failure(f"the operator: {self.failure}")

    def run(self):
        while not self.ended.wait(0.02):
            try:
                for request in self.library.requests():
                    self.serve(request)
            except (OSError, CommandError, ValueError) as error:
                self.failure = error
                return

    def serve(self, request):
        library = self.library
        if request["kind"] == "unload":
            library.take_out(request["dock"])
        elif library.in_dock(request["dock"]) == [request["medium"]]:
            if request["found"]:
                try:
                    library.tell(f"confirm {request['request']}", "operator")
                except CommandError as error:
                    if error.code not in ("NOT_FOUND", "BUSY"):
                        raise
        else:
            for dock in library.docks:
                if request["medium"] in library.in_dock(dock):
                    library.take_out(dock)
            library.take_out(request["dock"])
            library.put_in(request["medium"], request["dock"])
            self.served.append(request["medium"])


def write_files(folder, count, seed):
    os.makedirs(folder, exist_ok=True)
    for number in range(count):
        with open(os.path.join(folder, f"f{number}"), "wb") as file:
            file.write(bytes([(seed + number) % 251]) * (3000 * number + 1))


def copies(library, modes):
    """Formats, writes, copies: all with an operator."""
    with Operator(library) as operator:
        library.tell("format V00001 name=PHOTOS")
        write_files(library.path("PHOTOS", "a"), 20, 1)
        library.tell("sync")
        for mode in modes:
            job = library.tell(f"copy PHOTOS mode={mode}")["job"]
            row = library.wait_job(job)
            expect(row["state"] == "done", f"copy {mode}: {row}")
            write_files(library.path("PHOTOS", mode), 5, 2)
        job = library.tell("copy PHOTOS mode=incremental")["job"]
        row = library.wait_job(job)
        expect(row["state"] == "done", f"incremental: {row}")
        backup = row["target"]
        answer = library.tell(f"compare PHOTOS {backup}")
        expect(library.wait_job(answer["job"])["state"] == "done",
               f"compare with {backup}")
        library.call("--mount", library.mount, "mount", "--volume", backup,
                     library.side)
        names = sorted(os.listdir(os.path.join(library.side, "a")))
        expect(len(names) == 20, f"files of the backup: {names}")
        if len(library.docks) > 1:
            expect_same_trees(library.path("PHOTOS", "a"),
                              os.path.join(library.side, "a"))
        library.call("unmount", library.side)
        expect(operator.served, "the operator was never asked")
    return backup


def wrong_medium(library, backup_medium):
    """The label decides; what is there is named."""
    library.empty_docks()
    reader = subprocess.Popen(["cat", library.path("PHOTOS", "a", "f3")],
                              stdout=subprocess.PIPE)
    request = library.await_request("V00001")
    library.put_in(backup_medium, request["dock"])
    seen = library.await_request("V00001", f"holds {backup_medium}")
    expect(seen["request"] == request["request"], "it is another request")
    shown = library.call("--mount", library.mount, "requests").stdout
    expect(backup_medium in shown, f"vellum requests: {shown}")
    done = library.call("--mount", library.mount, "confirm",
                        str(request["request"]), codes=(1,))
    expect(f"it is {backup_medium}" in done.stderr, done.stderr)
    library.take_out(request["dock"])
    library.put_in("V00001", request["dock"])
    out = reader.communicate()[0]
    expect(len(out) == 9001, f"read {len(out)} bytes")
    library.await_no_requests()


def interrupted_reader(library):
    """A signal ends the wait of a reader, and with it the request."""
    library.empty_docks()
    reader = subprocess.Popen(["cat", library.path("PHOTOS", "a", "f4")],
                              stdout=subprocess.DEVNULL)
    library.await_request("V00001")
    reader.send_signal(signal.SIGINT)
    reader.wait()
    library.await_no_requests()


def refused(library):
    """The operator says no: the reader gets an error at once."""
    library.empty_docks()
    reader = subprocess.Popen(["cat", library.path("PHOTOS", "a", "f5")],
                              stderr=subprocess.PIPE, text=True)
    request = library.await_request("V00001")
    library.call("--mount", library.mount, "refuse", str(request["request"]),
                 "--reason", "lent to the museum")
    error = reader.communicate()[1]
    expect(reader.returncode != 0 and "No medium" in error, error)


def pulled(library, other):
    """A medium that is pulled while files are written to it takes no write
    any more, and the one that comes into its place takes none of them."""
    library.empty_docks()
    library.put_in("V00001", 256)
    await_true(lambda: any(d["medium"] == "V00001"
                           for d in library.table("drives")), "that it is seen")
    # A volume that lost changes when its medium went takes changes again once it
    # was loaded; reading loads it.
    with open(library.path("PHOTOS", "a", "f1"), "rb") as file:
        file.read()
    with open(library.path("PHOTOS", "kept"), "wb") as file:
        file.write(b"k" * 5000)
        os.fsync(file.fileno())
    # The dock that has it now.
    dock = 256
    before = subprocess.run(["sha256sum", library.image(other)], check=True,
                            capture_output=True, text=True).stdout
    library.take_out(dock)
    library.put_in(other, dock)
    try:
        with open(library.path("PHOTOS", "late"), "wb") as file:
            file.write(b"l" * 500000)
            os.fsync(file.fileno())
        raise Failure("fsync to a medium that was pulled succeeded")
    except OSError:
        pass
    after = subprocess.run(["sha256sum", library.image(other)], check=True,
                           capture_output=True, text=True).stdout
    expect(before == after, f"{other} was written to")
    # It is asked for again, and holds what was durable.
    reader = subprocess.Popen(["cat", library.path("PHOTOS", "kept")],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def bring():
        for request in library.requests():
            if request["medium"] == "V00001":
                library.take_out(request["dock"])
                library.put_in("V00001", request["dock"])
        return reader.poll() is not None

    await_true(bring, "the end of the reader")
    out, error = reader.communicate()
    if out != b"k" * 5000:
        # The first try may have met the volume before it was given up.
        def again():
            done = subprocess.run(["timeout", "10", "cat",
                                   library.path("PHOTOS", "kept")],
                                  capture_output=True, check=False)
            return done.stdout == b"k" * 5000

        with Operator(library):
            await_true(again, f"the file of before ({error})")


def killed(library):
    """A daemon that dies while a request is open has lost nothing."""
    library.empty_docks()
    reader = subprocess.Popen(["cat", library.path("PHOTOS", "a", "f6")],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    library.await_request("V00001")
    with open(os.path.join(library.dir, "state", "shelf.json"),
              encoding="utf-8") as file:
        places = {m["volume_tag"] for m in json.load(file)["media"]}
    expect(len(places) == MEDIA, f"shelf.json: {places}")
    library.kill()
    reader.wait()
    library.unmount()
    library.start()
    expect(not library.requests(), "a request of the daemon that died")
    with Operator(library):
        with open(library.path("PHOTOS", "a", "f6"), "rb") as file:
            expect(len(file.read()) == 18001, "a file after the kill")


def ends_at_once(library):
    """An open request does not hold up the end."""
    library.empty_docks()
    reader = subprocess.Popen(["cat", library.path("PHOTOS", "a", "f7")],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    library.await_request("V00001")
    begin = time.monotonic()
    library.call("unmount", "--force", library.mount)
    library.await_free()
    library.pid = None
    reader.wait()
    expect(time.monotonic() - begin < 20, "the end took too long")


def new_medium(library):
    """One more medium is told to the library."""
    library.empty_docks()
    with open(library.image("EXTRA1"), "wb") as file:
        file.truncate(CAPACITY)
    library.put_in("EXTRA1", 256)
    library.call("--mount", library.mount, "confirm", "--dock", "256",
                 "--tag", "EXTRA1", "--new")
    media = {m["medium"] for m in library.table("media")}
    expect("EXTRA1" in media, f"media: {media}")
    library.tell("format EXTRA1 name=EXTRA")
    write_files(library.path("EXTRA"), 3, 9)
    # The next thing that happens to it is being pulled.
    library.tell("sync")


def run(docks, modes):
    with ManualLibrary(drives=docks) as library:
        library.start()
        library.call("--mount", library.mount, "changer")
        copies(library, modes)
        media = {m["volume"]: m["medium"] for m in library.table("media")}
        other = next(m for v, m in media.items() if v and v != "PHOTOS")
        wrong_medium(library, other)
        interrupted_reader(library)
        refused(library)
        pulled(library, other)
        killed(library)
        new_medium(library)
        ends_at_once(library)


def main():
    run(1, ["image"])
    run(2, ["streaming", "image"])
    print(f"manual: {VELLUM}: one dock and two, ok")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as found:
        print(f"manual: FAILED: {found}", file=sys.stderr)
        sys.exit(1)
