#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads volumes with Linux's own UDF driver, in a virtual machine.

usage: boot.py --init GUEST_INIT --results FILE NAME=IMAGE...

Boots the kernel (machine.py) with GUEST_INIT and the images as read-only
disks. What the guest writes (guest_init.cc) becomes FILE. NAME=IMAGE:2048 shows
the disk with sectors of 2048 bytes. Exit status: 0 the guest has done its work,
1 it has not.
"""

import argparse
import sys
import tempfile

import machine

DRIVER = "fs/udf/udf"
MODULES = ["virtio_pci", "virtio_blk", "udf"]
RESULT_BYTES = 1 << 28  # a sparse file


def disk_arguments(number, serial, path, sector, readonly):
    # A comma ends a value in QEMU's options.
    path = path.replace(",", ",,")
    options = "readonly=on" if readonly else "cache=unsafe"
    return ["-drive", f"if=none,id=d{number},format=raw,file={path},{options}",
            "-device", f"virtio-blk-pci,drive=d{number},serial={serial},"
            f"logical_block_size={sector},physical_block_size={sector}"]


def all_disks(results, images):
    disks = [("out", results, 512, False)]
    for text in images:
        name, _, path = text.partition("=")
        sector = 512
        if path.endswith(":2048"):
            path, sector = path[:-5], 2048
        disks.append(("udf-" + name, path, sector, True))
    arguments = []
    for number, (serial, path, sector, readonly) in enumerate(disks):
        arguments += disk_arguments(number, serial, path, sector, readonly)
    return arguments


def take_results(path):
    """Cuts the file where the text ends; the text."""
    with open(path, "rb+") as file:
        text = b""
        while not text.endswith(b"\0"):
            text += file.read(1 << 20)
        text = text.rstrip(b"\0")
        file.truncate(len(text))
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--init", required=True)
    parser.add_argument("--results", required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--verbose", action="store_true",
                        help="what the guest's console says")
    parser.add_argument("images", nargs="+", metavar="NAME=IMAGE[:2048]")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="vellum-vm-") as work:
        with open(options.results, "wb") as file:
            file.truncate(RESULT_BYTES)
        try:
            guest = machine.Machine(
                work, options.init, DRIVER, MODULES,
                all_disks(options.results, options.images))
            ended = guest.run(options.seconds)
        except machine.MachineError as error:
            sys.exit(f"boot.py: {error}")
        if options.verbose:
            sys.stderr.write(guest.console())
        text = take_results(options.results)
        if not ended or not text.endswith(b"\ndone\n"):
            sys.stderr.write(guest.console()[-4000:])
            sys.exit("boot.py: the guest did not do its work")


if __name__ == "__main__":
    main()
