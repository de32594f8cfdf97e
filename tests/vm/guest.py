#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a virtual machine whose root is this machine's.

usage: guest.py --init GUEST_ROOT [--seconds N] [--qemu ARGUMENTS] -- COMMAND...

The guest sees the host's files read-only, at the same paths; what it changes is
gone with it (guest_root.cc). So a program that was built here runs there
unchanged, as root and with FUSE, on the devices that QEMU gives the machine.
Output and exit status are the command's; 124: it was not done in time.
"""

import argparse
import os
import shlex
import sys
import tempfile

import machine

DRIVER = "drivers/scsi/sg"
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "unix", "fuse",
           "virtio_scsi", "sg"]
MEMORY_MB = 1536  # the guest's changes are in memory
TIMED_OUT = 124


def share(name, path, readonly):
    path = path.replace(",", ",,")
    options = "readonly=on,multidevs=remap" if readonly else "multidevs=remap"
    return ["-fsdev", f"local,id={name},path={path},security_model=none,"
            f"{options}",
            "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"]


def run(init, command, seconds, arguments=(), answer=None, environment=None,
        out=None):
    """Runs the words of `command`; its exit status, or TIMED_OUT.

    What it writes goes to `out` (sys.stdout) as it comes. `answer`, a function
    from text to text, answers what the guest asks with tests/vm/ask_host.
    MachineError: the machine did not work.
    """
    out = out or sys.stdout
    with tempfile.TemporaryDirectory(prefix="vellum-vm-") as work:
        exchange = work + "/exchange"
        os.mkdir(exchange)
        with open(exchange + "/command", "w", encoding="utf-8") as file:
            for name, value in (environment or {}).items():
                file.write(f"export {name}={shlex.quote(value)}\n")
            file.write(f"cd {shlex.quote(os.getcwd())}\n")
            file.write("exec " + shlex.join(command) + "\n")
        guest = machine.Machine(
            work, init, DRIVER, MODULES,
            [*share("host", "/", True), *share("exchange", exchange, False),
             *arguments], MEMORY_MB)
        exchanger = Exchanger(exchange, answer, out)
        ended = guest.run(seconds, exchanger.step)
        exchanger.step()
        if not ended:
            out.write(f"guest.py: not done in {seconds} s; "
                      f"the console said:\n{guest.console()[-4000:]}")
            return TIMED_OUT
        try:
            with open(exchange + "/status", encoding="ascii") as file:
                status = int(file.read())
        except (FileNotFoundError, ValueError) as error:
            raise machine.MachineError(
                f"the guest left no status: {guest.console()[-4000:]}"
            ) from error
        if status != 0:
            with open(exchange + "/kernel.log", errors="replace",
                      encoding="utf-8") as file:
                out.write("the guest's kernel said last:\n" +
                          "".join(file.readlines()[-20:]))
        return status


class Exchanger:
    """The host's side of the shared folder."""

    def __init__(self, folder, answer, out):
        self.folder, self.answer, self.out = folder, answer, out
        self.shown = 0

    def step(self):
        self.show_output()
        request = self.folder + "/request"
        if not os.path.exists(request):
            return
        with open(request, encoding="utf-8") as file:
            text = file.read().rstrip("\n")
        os.unlink(request)
        try:
            if self.answer is None:
                raise ValueError("nobody answers here")
            line = "ok\n" + str(self.answer(text) or "")
        # Whatever it is, the guest must not wait for ever.
        except Exception as error:  # pylint: disable=broad-except
            line = f"error\n{text}: {error}"
        with open(self.folder + "/answer.new", "w", encoding="utf-8") as file:
            file.write(line + "\n")
        os.rename(self.folder + "/answer.new", self.folder + "/answer")

    def show_output(self):
        try:
            with open(self.folder + "/output", "rb") as file:
                file.seek(self.shown)
                data = file.read()
        except FileNotFoundError:
            return
        if data:
            self.shown += len(data)
            self.out.write(data.decode(errors="replace"))
            self.out.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--init", required=True)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--qemu", default="", help="further arguments of QEMU")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    try:
        sys.exit(run(options.init, options.command, options.seconds,
                     shlex.split(options.qemu)))
    except machine.MachineError as error:
        sys.exit(f"guest.py: {error}")


if __name__ == "__main__":
    main()
