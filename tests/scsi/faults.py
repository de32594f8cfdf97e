#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one of the fault scripts in a guest and makes the faults it asks for.

usage: faults.py SCRIPT        of this folder

What `ask_host` takes in the guest:
  hide TAG, show TAG     the medium's file is gone, is there again
  cut TAG, mend TAG      the file ends after its first 256 KiB, is whole again
  protect ELEMENT 0|1    the drive's write protection
  kill, start            the target ends; another one begins, drives empty
  suspend, resume        the target hangs, goes on
  is-zero N              fails unless removable medium N holds nothing
  fsck TAG               vellum fsck of the medium's file
beside what removable.py does.
"""

import os
import shutil
import subprocess
import sys

from lab import BUILD, TOP, JukeboxError, Lab, MachineError
from removable import Removable

SECONDS = 600
KEPT_BYTES = 256 << 10


class Faults:
    """The host's side. Thread-safety: one caller at a time."""

    def __init__(self, lab, removable):
        self.lab, self.removable = lab, removable

    def answer(self, text):
        name, *words = text.split()
        method = getattr(self, "do_" + name.replace("-", "_"), None)
        if method is None:
            return self.removable.answer(text)
        return method(*words)

    def _image(self, tag):
        return self.lab.jukebox.image(tag)

    def do_hide(self, tag):
        os.rename(self._image(tag), self._image(tag) + ".hidden")

    def do_show(self, tag):
        os.rename(self._image(tag) + ".hidden", self._image(tag))

    def do_cut(self, tag):
        shutil.copyfile(self._image(tag), self._image(tag) + ".whole")
        os.truncate(self._image(tag), KEPT_BYTES)

    def do_mend(self, tag):
        # Into the same file: the target has it open.
        shutil.copyfile(self._image(tag) + ".whole", self._image(tag))
        os.unlink(self._image(tag) + ".whole")

    def do_protect(self, element, value):
        self.lab.jukebox.set_read_only(int(element), bool(int(value)))

    def do_kill(self):
        self.lab.jukebox.kill()

    def do_start(self):
        self.lab.jukebox.start()

    def do_suspend(self):
        self.lab.jukebox.suspend()

    def do_resume(self):
        self.lab.jukebox.resume()

    def do_is_zero(self, number):
        with open(self.removable.media[int(number)], "rb") as file:
            while data := file.read(1 << 20):
                if data.strip(b"\0"):
                    raise ValueError("something was written there")

    def do_fsck(self, tag):
        done = subprocess.run(
            [f"{self.lab.build}/vellum", "fsck", "--image", self._image(tag),
             "--data"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ValueError(done.stdout + done.stderr)


def main():
    script = sys.argv[1]
    try:
        with Lab(BUILD, media_mb=64) as lab:
            removable = Removable(lab.folder)
            sys.exit(lab.run(
                ["bash", f"{TOP}/tests/scsi/{script}"], SECONDS,
                Faults(lab, removable).answer,
                {"VELLUM_SCSI_REMOVABLE": f"/dev/sg{1 + lab.jukebox.drives}"},
                removable.qemu_arguments()))
    except (JukeboxError, MachineError) as error:
        sys.exit(f"faults.py: {error}")


if __name__ == "__main__":
    main()
