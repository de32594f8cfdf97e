#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of manual.py finds its own offence, and nothing in a good page."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import manual  # noqa: E402

TOP = """A program
Usage: vellum [OPTIONS] SUBCOMMAND

Options:
  -h,--help                   Print this help message and exit
  --json                      Print JSON

Subcommands:
  copy, oldcopy               Copy, or not
  medium                      Media
"""
COPY = """Copy
Usage: vellum copy [OPTIONS]

Options:
  -h,--help                   Print this help message and exit
  --no-verify                 Do not read back; see --verify
  -s,--slot TEXT REQUIRED     Where
[Option Group: mode]
  [At most 1 of the following options are allowed]
  Options:
    -1                          One drive
"""
ADD = """Add
Options:
  --tag TEXT                  Volume tag
"""
PAGE = r""".Nm vellum
.It Fl -json
.It Xo
.Cm copy Ar VOL
.Op Fl 1 | s Ar SLOT
.Op Fl -no-verify
.Xc
Also
.Nm oldcopy .
.It Cm medium Cm add Ar DIR Op Fl -tag Ar TAG
Adds.
"""


class ManualTest(unittest.TestCase):
    def setUp(self):
        self.top = manual.parse_help(TOP)
        copy = manual.parse_help(COPY)
        copy.names = ["copy", "oldcopy"]
        medium = manual.parse_help("Subcommands:\n  add    Add\n")
        medium.names = ["medium"]
        add = manual.parse_help(ADD)
        add.names = ["medium add"]
        self.commands = {"copy": copy, "medium": medium, "medium add": add}

    def page(self, text):
        page = manual.Page(text, self.commands)
        return list(manual.check_page(page, self.top, self.commands))

    def calls(self, text):
        return list(manual.check_calls("f", text, self.top, self.commands))

    def test_help_is_understood(self):
        self.assertEqual(self.top.children, [["copy", "oldcopy"], ["medium"]])
        self.assertEqual(self.commands["copy"].options,
                         [{"--no-verify"}, {"-s", "--slot"}, {"-1"}])

    def test_good_page_is_clean(self):
        self.assertEqual(self.page(PAGE), [])

    def test_option_that_the_page_lacks(self):
        self.assertEqual(self.page(PAGE.replace(" | s Ar SLOT", "")),
                         ["vellum.1: copy: --slot/-s is missing"])

    def test_option_that_the_program_lacks(self):
        self.assertEqual(self.page(PAGE.replace("Fl -tag", "Fl -tag Fl -x")),
                         ["vellum.1: medium add has no option --x"])

    def test_command_that_the_page_lacks(self):
        self.assertIn("vellum.1: there is no entry for copy",
                      self.page(PAGE.replace("Cm copy", "Cm copi")))

    def test_command_that_the_program_lacks(self):
        self.assertEqual(self.page(PAGE + ".It Cm gone , Cm copy\n"),
                         ["vellum.1: there is no command gone"])

    def test_other_names(self):
        self.assertEqual(self.page(PAGE.replace("oldcopy", "newcopy")),
                         ["vellum.1: copy: its other name oldcopy is missing",
                          "vellum.1: there is no other name newcopy"])

    def test_calls_that_are_right(self):
        self.assertEqual(self.calls(
            "`vellum copy A -1 --json`, `vellum medium add D --tag T` and\n"
            "```sh\nvellum --mount M copy -s 3\n```\n"
            "    vellum copy|medium A     vellum oldcopy --no-verify\n"), [])

    def test_calls_that_are_wrong(self):
        self.assertEqual(
            self.calls("`vellum gone`, `vellum copy --tag`"),
            ["f: vellum gone: there is no command gone",
             "f: vellum copy --tag: copy has no --tag"])
        self.assertEqual(self.calls("vellum copy"), ["f: shows no command"])


if __name__ == "__main__":
    unittest.main()
