#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What .ci/judge says of what ctest and the fuzzers print."""

import os
import subprocess
import tempfile
import unittest

JUDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                     ".ci", "judge")
TESTS = {"good": "true", "expects": "false",
         "aborts": "sh -c \"kill -ABRT $$\"", "hangs": "sleep 1000"}


class JudgeTest(unittest.TestCase):
    def ctest(self, *names):
        """What ctest prints of these, and its exit code."""
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "CTestTestfile.cmake"), "w",
                      encoding="utf-8") as file:
                for name in names:
                    file.write(f"add_test({name} {TESTS[name]})\n")
                    if name == "hangs":
                        file.write("set_tests_properties(hangs PROPERTIES "
                                   "TIMEOUT 1)\n")
            listed, ran = (subprocess.run(
                ["ctest", "--test-dir", folder, *more], text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                for more in (["-N"], ["--output-on-failure"]))
            return listed.stdout + ran.stdout, ran.returncode

    def judge(self, log, ended):
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(log)
            file.flush()
            done = subprocess.run([JUDGE, str(ended), file.name], text=True,
                                  stdout=subprocess.PIPE)
        return done.returncode, done.stdout.splitlines()

    def test_all_passed(self):
        self.assertEqual(self.judge(*self.ctest("good")), (0, []))

    def test_whatever_fails_is_told(self):
        self.assertEqual(
            self.judge(*self.ctest("good", "expects", "aborts", "hangs")),
            (1, ["expects: Failed", "aborts: Subprocess aborted Exception",
                 "hangs: Timeout"]))

    def test_what_was_cut_off_is_listed_and_no_failure(self):
        log, _ = self.ctest("good", "expects", "aborts", "hangs")
        begin = log.index("Start 2")
        self.assertEqual(self.judge(log[:begin], "cut"),
                         (0, ["not reached: aborts expects hangs"]))
        begin = log.index("Start 3")
        self.assertEqual(
            self.judge(log[:begin], "cut"),
            (1, ["expects: Failed", "not reached: aborts hangs"]))

    def test_a_report_of_what_was_cut_off_fails(self):
        log, _ = self.ctest("good", "hangs")
        log = log[:log.index("Start 2")]
        for report in ("SUMMARY: ThreadSanitizer: data race a.cc:1 in f",
                       "a.cc:1:2: runtime error: shift"):
            self.assertEqual(self.judge(log + report + "\n", "cut"),
                             (1, ["1 reports of sanitizers",
                                  "not reached: hangs"]))

    def test_an_end_without_a_test_that_failed(self):
        self.assertEqual(self.judge("ninja: failed\n", 1),
                         (1, ["it ended with 1"]))
        self.assertEqual(self.judge("[1/9] Building\n", "cut"),
                         (0, ["not reached: all of it"]))
        log, _ = self.ctest("good", "expects")
        self.assertEqual(self.judge(log[:log.index("Start 2")], 0),
                         (1, ["it passed without these",
                              "not reached: expects"]))

    def test_fuzzers(self):
        log = ("fuzz: to run: note\nfuzz: to run: udf_image\n"
               "fuzz: to run: text\n"
               "fuzz: note: 120 runs, nothing found\n")
        self.assertEqual(self.judge(log, "cut"),
                         (0, ["not reached: fuzz_text fuzz_udf_image"]))
        self.assertEqual(
            self.judge(log + "fuzz: text: FAILED (77); build-fuzz\n", "cut"),
            (1, ["fuzz_text: FAILED", "not reached: fuzz_udf_image"]))
        log += ("fuzz: text: FAILED (77); build-fuzz\n"
                "fuzz: udf_image: 7 runs, nothing found\n")
        self.assertEqual(self.judge(log, 1), (1, ["fuzz_text: FAILED"]))


if __name__ == "__main__":
    unittest.main()
