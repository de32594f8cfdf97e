#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What .ci/judge says of what ctest and the fuzzers print, and what .ci/sweep
leaves of what a part left."""

import os
import subprocess
import tempfile
import unittest

CI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                  ".ci")
JUDGE = os.path.join(CI, "judge")
SWEEP = os.path.join(CI, "sweep")
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


class SweepTest(unittest.TestCase):
    def setUp(self):
        outer = tempfile.TemporaryDirectory()
        self.addCleanup(outer.cleanup)
        self.folder = os.path.join(os.path.realpath(outer.name), "swept")
        os.mkdir(self.folder)

    def process(self, tmp):
        """One that outlives its session, ignores what it can and is idle."""
        process = subprocess.Popen(
            ["sh", "-c", "trap '' TERM HUP INT; echo; read nothing"],
            env={**os.environ, "TMPDIR": tmp}, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        return process

    def sweep(self, *before):
        return subprocess.run([*before, SWEEP, self.folder], text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)

    def sweep_after(self, commands):
        """After shell commands in the folder, in a namespace of its own: anybody
        may mount there, and no mount of a test that fails is left. Tells of
        those that the sweep leaves."""
        return self.sweep(
            "unshare", "--user", "--map-root-user", "--mount", "bash", "-c",
            f'cd "$2" && {commands} && cd / || exit 99; "$@"; code=$?; '
            'grep -F "$2" /proc/self/mountinfo; exit "$code"', "bash")

    def test_processes_are_ended(self):
        its = [self.process(self.folder) for _ in range(2)]
        others = [self.process(self.folder + "2"),
                  self.process(os.path.dirname(self.folder))]
        done = self.sweep()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual([p.wait(60) for p in its], [-9, -9])
        self.assertEqual([p.poll() for p in others], [None, None])
        for process in its:
            self.assertIn(f"left running, ended: {process.pid} ", done.stdout)
        self.assertFalse(os.path.exists(self.folder))

    def test_mounts_are_taken_away(self):
        done = self.sweep_after(
            "mkdir 'a b' && mount -t tmpfs none 'a b' && mkdir 'a b/c' && "
            "mount -t tmpfs none 'a b/c' && touch 'a b/c/file'")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(done.stdout.splitlines(), [
            f"left mounted, unmounted: {self.folder}/a b{end}"
            for end in ("/c", "")])
        self.assertFalse(os.path.exists(self.folder))

    def test_nothing_was_left(self):
        with open(os.path.join(self.folder, "file"), "w", encoding="utf-8"):
            pass
        done = self.sweep()
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertFalse(os.path.exists(self.folder))

    def test_what_cannot_be_removed_is_told(self):
        done = self.sweep_after("mount --bind . .")  # it is not below it
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("rm: ", done.stdout)


if __name__ == "__main__":
    unittest.main()
