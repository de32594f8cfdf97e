#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A removable disk of QEMU's own beside the jukebox: its medium is changed
while the guest runs (QMP).

usage: removable.py -- COMMAND...

In the guest VELLUM_SCSI_REMOVABLE is the disk, empty at first. `ask_host` takes
"insert N" (medium N, 0 to 2, in place of what is there), "eject", and
"tear-out", which asks no lock.
"""

import json
import os
import socket
import sys

from lab import BUILD, JukeboxError, Lab, MachineError

SECONDS = 300
MEDIUM_BYTES = 16 << 20
MEDIA = 3


class Removable:
    """The host's side. Thread-safety: one caller at a time."""

    def __init__(self, folder):
        self.socket = os.path.join(folder, "qmp")
        self.media = [os.path.join(folder, f"disk{n}") for n in range(MEDIA)]
        for medium in self.media:
            with open(medium, "wb") as file:
                file.truncate(MEDIUM_BYTES)
        self.qmp = None

    def qemu_arguments(self):
        return ["-qmp", f"unix:{self.socket},server=on,wait=off",
                "-drive", "if=none,id=removable",
                "-device", "virtio-scsi-pci,id=removables",
                "-device", "scsi-hd,drive=removable,id=disk,removable=on,"
                "bus=removables.0,logical_block_size=2048,"
                "physical_block_size=2048,vendor=VELLUM,product=REMOVABLE,"
                "serial=REMOVABLE0"]

    def answer(self, text):
        words = text.split()
        if words[0] == "insert":
            self._command("blockdev-change-medium", id="disk", format="raw",
                          filename=self.media[int(words[1])])
        elif words[0] == "eject":
            self._command("eject", id="disk", force=False)
        elif words[0] == "tear-out":
            self._command("eject", id="disk", force=True)
        else:
            raise ValueError("what is that?")

    def _command(self, name, **arguments):
        if self.qmp is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self.socket)
            self.qmp = connection.makefile("rw", encoding="utf-8")
            self.qmp.readline()  # the greeting
            self._command("qmp_capabilities")
        self.qmp.write(json.dumps({"execute": name, "arguments": arguments}))
        self.qmp.flush()
        while True:
            reply = json.loads(self.qmp.readline())
            if "error" in reply:
                raise ValueError(reply["error"]["desc"])
            if "return" in reply:
                return


def main():
    command = sys.argv[1:]
    if command[:1] == ["--"]:
        command = command[1:]
    try:
        with Lab(BUILD) as lab:
            removable = Removable(lab.folder)
            sys.exit(lab.run(
                command, SECONDS, removable.answer,
                {"VELLUM_SCSI_REMOVABLE": f"/dev/sg{1 + lab.jukebox.drives}"},
                removable.qemu_arguments()))
    except (JukeboxError, MachineError) as error:
        sys.exit(f"removable.py: {error}")


if __name__ == "__main__":
    main()
