#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of rows.py finds its own offence, and nothing in a good table."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rows  # noqa: E402


def good_table():
    table = {}
    for group, numbers in rows.GROUPS.items():
        for n in numbers:
            table[f"{group}{n}"] = f"| {group}{n} | does it | open | |"
    table["O1"] = "| O1 | does it | works | `ATest.O1_DoesIt` |"
    table["D1"] = "| D1 | does it | part: not all | `system_work` |"
    return table


class RowsTest(unittest.TestCase):
    def check(self, changes=None, sources=None):
        """What is found, without the line numbers."""
        table = {**good_table(), **(changes or {})}
        files = {
            rows.TABLE: "\n".join(line for line in table.values() if line),
            "tests/a_test.cc": "TEST_F(ATest, O1_DoesIt) {}\n",
            "tests/CMakeLists.txt": "foreach(name work)\n",
            "tests/system/work.sh": "# D1: what people do\n",
            **(sources or {}),
        }
        with tempfile.TemporaryDirectory() as tree:
            for name, text in files.items():
                path = os.path.join(tree, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            findings, self.open, self.part = rows.check(tree)
            return [text for _, text in findings]

    def test_good_table_is_clean(self):
        self.assertEqual(self.check(), [])
        self.assertIn("O2", self.open)
        self.assertNotIn("O1", self.open)
        self.assertEqual(self.part, ["D1"])

    def test_missing_row(self):
        self.assertEqual(self.check({"V3": ""}), ["V3 is missing"])

    def test_row_without_a_test(self):
        self.assertEqual(self.check({"O2": "| O2 | does it | works | |"}),
                         ["O2 has no test"])

    def test_row_whose_test_is_not_there(self):
        line = "| O1 | does it | works | `ATest.O1_DoesIt` `ATest.Gone` |"
        self.assertEqual(self.check({"O1": line}),
                         ["O1: there is no test ATest.Gone"])
        line = "| D1 | does it | works | `system_gone` |"
        self.assertIn("D1: there is no ctest system_gone",
                      self.check({"D1": line}))

    def test_test_that_does_not_carry_the_id(self):
        line = "| O2 | does it | works | `ATest.O1_DoesIt` |"
        self.assertEqual(self.check({"O2": line}),
                         ["O2: none of its tests carries its id"])

    def test_script_that_does_not_mention_the_row(self):
        found = self.check(sources={"tests/system/work.sh": "# D11\n"})
        self.assertIn("D1: the script of system_work does not mention it",
                      found)

    def test_open_row_with_a_test(self):
        found = self.check(sources={
            "tests/b_test.cc": "TEST_P(BTest,\n       V1_O2_IsThere) {}\n"})
        self.assertEqual(
            found, ["O2 is open, but has tests: BTest.V1_O2_IsThere",
                    "V1 is open, but has tests: BTest.V1_O2_IsThere"])

    def test_id_that_is_no_row(self):
        found = self.check(sources={
            "tests/b_test.cc": "TEST(BTest, H99_IsThere) {}\n"})
        self.assertEqual(found,
                         ["BTest.H99_IsThere carries H99, which is no row"])

    def test_unknown_state(self):
        self.assertIn("O2: what is \"soon\"?",
                      self.check({"O2": "| O2 | does it | soon | |"}))


if __name__ == "__main__":
    unittest.main()
