#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job on a jukebox of an independent target; see README.md here.

The guest runs main_job.sh; afterwards the host reads the target's image files
with vellum fsck, udfinfo and libudfread and compares them with what was
written.
"""

import os
import shutil
import subprocess
import sys

from faults import Faults
from lab import BUILD, TOP, JukeboxError, Lab, MachineError

READERS = os.path.join(TOP, "tests", "readers")
LARGE = 8 << 20
SECONDS = 600
# What is on which medium in the end.
WRITTEN = {"D00000L1": "second", "D00002L1": "second", "D00003L1": "first",
           "D00004L1": "third"}


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True,
                          errors="surrogateescape", check=False, **options)
    if done.returncode != 0:
        sys.exit(f"main_job.py: {' '.join(command)}: exit status "
                 f"{done.returncode}\n{done.stdout[-2000:]}"
                 f"{done.stderr[-2000:]}")
    return done


def random_file(path, size):
    with open(path, "wb") as file:
        file.write(os.urandom(size))


def make_trees(folder):
    """`first`, `second` with changes, `third` with more of them. Small: what a
    tree can hold is what ../readers tries, here it is the way to the medium."""
    first, second, third = (f"{folder}/{name}" for name in
                            ("first", "second", "third"))
    os.makedirs(f"{first}/a/b/c")
    shutil.copytree(f"{TOP}/media", f"{first}/media", symlinks=True)
    random_file(f"{first}/a/b/c/large", LARGE)
    random_file(f"{first}/a/small", 100)
    os.symlink("b/c/large", f"{first}/a/link")
    os.link(f"{first}/a/small", f"{first}/a/b/hard link")
    open(f"{first}/empty \u6f22\u5b57", "wb").close()
    run("cp", "-a", first, second)
    with open(f"{second}/a/b/c/large", "r+b") as file:
        for at in (0, LARGE // 3, LARGE - 100):
            file.seek(at)
            file.write(os.urandom(100))
    random_file(f"{second}/new", 100_000)
    shutil.rmtree(f"{second}/media/udf")
    run("cp", "-a", second, third)
    os.rename(f"{third}/new", f"{third}/renamed")
    with open(f"{third}/after", "w", encoding="ascii") as file:
        file.write("life goes on\n")


def read_on_host(lab, trees, written):
    """written: tag -> the tree that the medium holds."""
    programs = f"{lab.build}/tests"
    for tag, tree in written.items():
        image = lab.jukebox.image(tag)
        expected = f"{lab.folder}/expected"
        sums = f"{lab.folder}/sums"
        run(f"{lab.build}/vellum", "fsck", "--image", image, "--data")
        said = run("udfinfo", image).stderr
        if said:
            sys.exit(f"main_job.py: udfinfo says of {tag}: {said}")
        with open(expected, "wb") as file:
            subprocess.run([f"{programs}/tree_manifest", "--count-links",
                            f"{trees}/{tree}"], stdout=file, check=True)
        with open(sums, "wb") as file:
            subprocess.run([f"{programs}/udfread_sha256", image], stdout=file,
                           check=True)
        print(tag, run(sys.executable, "-B", f"{READERS}/compare.py",
                       "udfread", expected, sums, f"{trees}/{tree}").stdout,
              end="")


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    try:
        with Lab(BUILD, media_mb=64) as lab:
            trees = f"{lab.folder}/trees"
            os.mkdir(trees)
            make_trees(trees)
            status = lab.run(["bash", f"{TOP}/tests/scsi/main_job.sh"],
                             SECONDS, Faults(lab, None).answer,
                             {"TREES": trees})
            if status != 0:
                sys.exit(f"main_job.py: exit status {status} in the guest")
            read_on_host(lab, trees, WRITTEN)
    except (JukeboxError, MachineError) as error:
        sys.exit(f"main_job.py: {error}")


if __name__ == "__main__":
    main()
