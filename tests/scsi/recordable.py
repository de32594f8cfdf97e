#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Copies onto discs that can be written once; see README.md here.

The guest runs recordable.sh; afterwards the host reads the target's files as
main_job.py does.
"""

import os
import sys

from lab import BUILD, TOP, JukeboxError, Lab, MachineError
from main_job import make_trees, read_on_host

SECONDS = 600
# What is on which medium in the end.
WRITTEN = {"D00000L1": "second", "C00003L1": "first", "C00005L1": "first"}


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    try:
        with Lab(BUILD, kind="both", media_mb=32) as lab:
            trees = f"{lab.folder}/trees"
            os.mkdir(trees)
            make_trees(trees)
            status = lab.run(["bash", f"{TOP}/tests/scsi/recordable.sh"],
                             SECONDS, environment={"TREES": trees})
            if status != 0:
                sys.exit(f"recordable.py: exit status {status} in the guest")
            read_on_host(lab, trees, WRITTEN)
    except (JukeboxError, MachineError) as error:
        sys.exit(f"recordable.py: {error}")


if __name__ == "__main__":
    main()
