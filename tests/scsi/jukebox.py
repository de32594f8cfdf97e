#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SCSI jukebox made by tgtd: a changer, drives, slots, media that are files.

usage: jukebox.py [--kind disk|cd|both] [--block-size N] [--media N] -- COMMAND...

Runs COMMAND with a jukebox on a free port of 127.0.0.1 and the variables set
that devices.h reads. Exit status is COMMAND's. The jukebox is private: folder,
socket and port are its own, and it dies with this process.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TRANSPORT, STORAGE, IMPORT_EXPORT, DRIVE = 1, 2, 3, 4  # element types, SMC-3
FIRST = {TRANSPORT: 1, DRIVE: 256, IMPORT_EXPORT: 768, STORAGE: 1024}
CHANGER_LUN, FIRST_DRIVE_LUN = 1, 2
FREE_SLOTS = 2
START_SECONDS = 20
PORT_TRIES = 20

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "vm"))
from machine import dies_with_us  # noqa: E402 pylint: disable=all


class JukeboxError(Exception):
    """tgtd did not start or refused a command."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Jukebox:
    """Thread-safety: one caller at a time. `folder` is the caller's and empty.

    kind: "disk" (type 0, with `block_size`), "cd" (type 5), or "both", which
    come in turn, drives and media. Elements: the transport 1, drives from 256,
    one import/export slot 768, slots from 1024. The first `media` slots hold
    D00000L1, D00001L1, … (C00000L1, … for cd drives): the file media/TAG in the
    folder is what is on the medium. Of discs the file is empty (a blank DVD+R)
    from the third medium on.
    """

    def __init__(self, folder, kind="disk", block_size=2048, media=6,
                 media_mb=16, drives=2):
        self.folder, self.block_size = folder, block_size
        self.kinds = ["disk", "cd"] if kind == "both" else [kind]
        self.slots, self.drives = media + FREE_SLOTS, drives
        self.name = f"iqn.2026-01.vellum.test:{kind}"
        self.media = os.path.join(folder, "media")
        self.port = 0
        self.daemon = None
        os.mkdir(self.media)
        # A bar code has 10 characters at most: tgtd keeps 11 bytes.
        self.tags = [f"{self._kind(n)[0].upper()}{n:05}L1"
                     for n in range(media)]
        for number, tag in enumerate(self.tags):
            blank = self._kind(number) == "cd" and number >= 2
            with open(self.image(tag), "wb") as file:
                file.truncate(0 if blank else media_mb << 20)
        with open(os.path.join(folder, "changer"), "wb") as file:
            file.truncate(1024)  # tgtd wants a file, and reads nothing there

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.kill()

    def _kind(self, number):
        return self.kinds[number % len(self.kinds)]

    def image(self, tag):
        return os.path.join(self.media, tag)

    def url(self, lun):
        return f"iscsi://127.0.0.1:{self.port}/{self.name}/{lun}"

    def drive_lun(self, element):
        return FIRST_DRIVE_LUN + element - FIRST[DRIVE]

    def environment(self):
        """What devices.h reads."""
        drives = [f"{FIRST[DRIVE] + n}={self.url(FIRST_DRIVE_LUN + n)}"
                  for n in range(self.drives)]
        return {"VELLUM_SCSI_CHANGER": self.url(CHANGER_LUN),
                "VELLUM_SCSI_DRIVES": ",".join(drives),
                "VELLUM_SCSI_MEDIA": self.media,
                "VELLUM_SCSI_TARGET_PID": str(self.daemon.pid),
                "TGT_IPC_SOCKET": self._control()}

    def start(self):
        """With every medium in its slot, also after kill()."""
        path = self._daemon_environment()["PATH"]
        if shutil.which("tgtd", path=path) is None:
            raise JukeboxError("tgtd is missing (Debian: tgt)")
        for _ in range(PORT_TRIES):
            port = self.port or free_port()
            if self._start_daemon(port):
                self.port = port
                self._configure()
                return
        raise JukeboxError(f"tgtd does not start: {self._log()}")

    def kill(self):
        if self.daemon is None:
            return
        self.daemon.kill()  # nothing happens if it died before
        self.daemon.wait()
        self.daemon = None

    def suspend(self):
        """It answers nothing any more, but the connections stay."""
        self.daemon.send_signal(signal.SIGSTOP)

    def resume(self):
        self.daemon.send_signal(signal.SIGCONT)

    def set_read_only(self, element, value=True):
        """Write protection of the drive's medium."""
        self.admin("--mode", "logicalunit", "--op", "update", "--tid", "1",
                   "--lun", str(self.drive_lun(element)),
                   "--params", f"readonly={int(value)}")

    def admin(self, *words):
        done = subprocess.run(
            ["tgtadm", "-C", "0", "--lld", "iscsi", *words],
            env=self._daemon_environment(), capture_output=True, text=True,
            check=False)
        if done.returncode != 0:
            raise JukeboxError(f"tgtadm {' '.join(words)}: "
                               f"{done.stderr.strip() or done.returncode}")
        return done.stdout

    def _control(self):
        return os.path.join(self.folder, "control")

    def _daemon_environment(self):
        # Debian's /usr/sbin is not in everybody's PATH.
        return {**os.environ, "TGT_IPC_SOCKET": self._control(),
                "PATH": os.environ.get("PATH", "") + ":/usr/sbin"}

    def _log(self):
        with open(os.path.join(self.folder, "log"), errors="replace",
                  encoding="utf-8") as file:
            return file.read()[-2000:]

    def _start_daemon(self, port):
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.daemon = subprocess.Popen(
                ["tgtd", "-C", "0", "-f",
                 "--iscsi", f"portal=127.0.0.1:{port}"],
                env=self._daemon_environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=dies_with_us)
        limit = time.monotonic() + START_SECONDS
        while self.daemon.poll() is None and time.monotonic() < limit:
            try:
                self.admin("--mode", "sys", "--op", "show")
                # A port that is taken is not fatal to tgtd: ask for it.
                if f"127.0.0.1:{port}" in self.admin("--mode", "portal",
                                                     "--op", "show"):
                    return True
                break
            except JukeboxError:
                time.sleep(0.02)
        self.kill()
        return False

    def _unit(self, lun, params=None, op="update", more=()):
        words = ["--mode", "logicalunit", "--op", op, "--tid", "1",
                 "--lun", str(lun), *more]
        if params is not None:
            words += ["--params", params]
        self.admin(*words)

    def _configure(self):
        self.admin("--mode", "target", "--op", "new", "--tid", "1",
                   "-T", self.name)
        self._unit(CHANGER_LUN, op="new", more=[
            "-b", os.path.join(self.folder, "changer"),
            "--device-type=changer"])
        self._unit(CHANGER_LUN, "vendor_id=VELLUM,product_id=JUKEBOX,"
                   "product_rev=0001,scsi_sn=JB0001,removable=1")
        for number in range(self.drives):
            more = ["-Y", self._kind(number)]
            if self._kind(number) == "disk":
                more += ["--blocksize", str(self.block_size)]
            lun = FIRST_DRIVE_LUN + number
            self._unit(lun, op="new", more=more)
            self._unit(lun, f"vendor_id=VELLUM,product_id=DRIVE,"
                       f"product_rev=0001,scsi_sn=DRIVE000{number},removable=1")
        counts = {TRANSPORT: 1, DRIVE: self.drives, IMPORT_EXPORT: 1,
                  STORAGE: self.slots}
        for kind, count in counts.items():
            self._unit(CHANGER_LUN,
                       f"element_type={kind},start_address={FIRST[kind]},"
                       f"quantity={count}")
        for number in range(self.drives):
            self._unit(CHANGER_LUN,
                       f"element_type={DRIVE},address={FIRST[DRIVE] + number},"
                       f"tid=1,lun={FIRST_DRIVE_LUN + number}")
        self._unit(CHANGER_LUN, f"media_home={self.media}")
        for number, tag in enumerate(self.tags):
            self._unit(CHANGER_LUN,
                       f"element_type={STORAGE},"
                       f"address={FIRST[STORAGE] + number},barcode={tag},"
                       "sides=1")
        self.admin("--mode", "target", "--op", "bind", "--tid", "1",
                   "-I", "ALL")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["disk", "cd", "both"], default="disk")
    parser.add_argument("--block-size", type=int, default=2048)
    parser.add_argument("--media", type=int, default=6)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vellum-jukebox-") as folder:
        try:
            with Jukebox(folder, options.kind, options.block_size,
                         options.media) as jukebox:
                done = subprocess.run(
                    options.command, check=False,
                    env={**os.environ, **jukebox.environment()})
                return done.returncode if done.returncode >= 0 else 128
        except (JukeboxError, FileNotFoundError) as error:
            sys.exit(f"jukebox.py: {error}")


if __name__ == "__main__":
    sys.exit(main())
