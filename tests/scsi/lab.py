#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The SCSI lab: a jukebox (jukebox.py) as /dev/sgN of a guest (tests/vm).

usage: lab.py [--build DIR] [--kind disk|cd|both] [--block-size N]
              [--media N] -- COMMAND...

Runs COMMAND in the guest: /dev/sg0 is the changer, /dev/sg1 and on are its
drives, and VELLUM_SCSI_CHANGER and VELLUM_SCSI_DRIVES say so. The first media
are in the drives: QEMU opens no empty drive. Output and exit status are
COMMAND's.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "vm"))
import guest  # noqa: E402 pylint: disable=all
from jukebox import CHANGER_LUN, DRIVE, FIRST, STORAGE, Jukebox  # noqa: E402
from jukebox import JukeboxError  # noqa: E402
from machine import MachineError  # noqa: E402

TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("VELLUM_BUILD", os.path.join(TOP, "build"))


class Lab:
    """A jukebox with a medium in each drive, for guests one after another.

    build: the folder of the build. Keywords: Jukebox's.
    """

    def __init__(self, build, **options):
        self.build = os.path.abspath(build)
        self._cleanup = contextlib.ExitStack()
        self.folder = self._cleanup.enter_context(
            tempfile.TemporaryDirectory(prefix="vellum-lab-"))
        juke = os.path.join(self.folder, "jukebox")
        os.mkdir(juke)
        self.jukebox = Jukebox(juke, **options)
        self._cleanup.enter_context(self.jukebox)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._cleanup.close()

    def move(self, source, target):
        """By the host, behind the guest's back."""
        subprocess.run([f"{self.build}/tests/scsi_move",
                        self.jukebox.url(CHANGER_LUN), str(source),
                        str(target)], check=True)

    def run(self, command, seconds=300, answer=None, environment=None,
            arguments=()):
        """Exit status of `command` in a guest. `arguments`: more of QEMU's."""
        for number in range(self.jukebox.drives):
            self.move(FIRST[STORAGE] + number, FIRST[DRIVE] + number)
        names = [f"{FIRST[DRIVE] + n}=/dev/sg{1 + n}"
                 for n in range(self.jukebox.drives)]
        return guest.run(
            f"{self.build}/tests/guest_root", command, seconds,
            [*self._qemu(), *arguments], answer,
            {"VELLUM": f"{self.build}/vellum",
             "VELLUM_BUILD": self.build,
             "VELLUM_SCSI_CHANGER": "/dev/sg0",
             "VELLUM_SCSI_DRIVES": ",".join(names),
             **(environment or {})})

    def _qemu(self):
        arguments = ["-device", "virtio-scsi-pci,id=jukebox"]
        for number in range(1 + self.jukebox.drives):
            url = self.jukebox.url(CHANGER_LUN + number)
            arguments += [
                "-drive", f"if=none,id=u{number},file={url},format=raw,"
                "cache=none",
                "-device", f"scsi-generic,drive=u{number},bus=jukebox.0,"
                f"scsi-id={number}"]
        return arguments


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=BUILD)
    parser.add_argument("--kind", choices=["disk", "cd", "both"], default="disk")
    parser.add_argument("--block-size", type=int, default=2048)
    parser.add_argument("--media", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    try:
        with Lab(options.build, kind=options.kind,
                 block_size=options.block_size, media=options.media) as lab:
            return lab.run(options.command, options.seconds)
    except (JukeboxError, MachineError, FileNotFoundError) as error:
        sys.exit(f"lab.py: {error}")


if __name__ == "__main__":
    sys.exit(main())
