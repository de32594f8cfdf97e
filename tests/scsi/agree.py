#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mtx, sg_inq and Vellum say the same of a mounted library (H8).

usage: agree.py MOUNT        with VELLUM, VELLUM_SCSI_CHANGER and
                             VELLUM_SCSI_DRIVES set

Compares every element of `mtx status` with `vellum elements`: full, volume tag
and where the medium came from; and what sg_inq says of the changer and of each
drive with `vellum changer` and `vellum drives`. Exit status 1 and every
difference otherwise.
"""

import json
import os
import re
import subprocess
import sys

ROW = re.compile(
    r"\s*(?P<kind>Data Transfer|Storage) Element (?P<number>\d+)"
    r"(?P<import> IMPORT/EXPORT)?:(?P<full>Full|Empty)\s*"
    r"(\((Storage Element (?P<source>\d+)|Unknown Storage Element) Loaded\))?"
    r"\s*(:VolumeTag\s*=\s*(?P<tag>\S*))?\s*$")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True,
                          text=True).stdout


def vellum(mount, command):
    return json.loads(output(os.environ["VELLUM"], "--mount", mount, command,
                             "--json"))


def addresses(elements, kind):
    return [e["address"] for e in elements if e["type"] == kind]


def mtx_elements(changer, drives, slots):
    """{address: (full, tag, source)}; `slots` are the addresses in mtx's order:
    storage elements, then import/export elements, numbered from 1."""
    found = {}
    for line in output("mtx", "-f", changer, "status").splitlines():
        row = ROW.match(line)
        if row is None:
            if " Changer " in line:
                continue
            sys.exit(f"agree.py: what does mtx mean by: {line}")
        number = int(row["number"])
        address = (drives[number] if row["kind"] == "Data Transfer"
                   else slots[number - 1])
        source = slots[int(row["source"]) - 1] if row["source"] else None
        found[address] = (row["full"] == "Full", row["tag"] or "", source)
    return found


def inquiry(device):
    text = output("sg_inq", device)

    def field(name):
        match = re.search(rf"^ *{name}: *(.*?) *$", text, re.MULTILINE)
        return match[1] if match else ""
    return {"vendor": field("Vendor identification"),
            "product": field("Product identification"),
            "revision": field("Product revision level"),
            "serial": field("Unit serial number")}


def main():
    mount = sys.argv[1]
    changer = os.environ["VELLUM_SCSI_CHANGER"]
    devices = dict(pair.split("=") for pair in
                   os.environ["VELLUM_SCSI_DRIVES"].split(","))
    elements = vellum(mount, "elements")
    drives = addresses(elements, "drive")
    slots = addresses(elements, "storage") + addresses(elements,
                                                       "import-export")
    differences = []

    def same(what, theirs, ours):
        if theirs != ours:
            differences.append(f"{what}: {theirs}, vellum says {ours}")

    theirs = mtx_elements(changer, drives, slots)
    ours = {e["address"]: e for e in elements if e["type"] != "transport"}
    same("elements of mtx", sorted(theirs), sorted(ours))
    for address in sorted(set(theirs) & set(ours)):
        full, tag, source = theirs[address]
        element = ours[address]
        same(f"element {address} full", full, element["full"])
        same(f"element {address} tag", tag, element["volume_tag"] or "")
        if address in drives:  # mtx tells the source of nothing else
            same(f"element {address} source", source,
                 element["source"] if element["full"] else None)
    identity = vellum(mount, "changer")
    identity = identity.get("changer", identity)
    for key, value in inquiry(changer).items():
        same(f"changer's {key}", value, identity[key])
    for drive in vellum(mount, "drives"):
        device = devices[str(drive["address"])]
        same(f"device of drive {drive['address']}", device, drive["device"])
        for key, value in inquiry(device).items():
            same(f"drive {drive['address']}'s {key}", value, drive[key])
    for difference in differences:
        print(difference)
    print(f"agree.py: {len(theirs)} elements and {1 + len(devices)} devices, "
          f"{len(differences)} differences")
    sys.exit(1 if differences or not theirs else 0)


if __name__ == "__main__":
    main()
