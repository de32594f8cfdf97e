#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of lint.py finds its own offence, and nothing in a good tree."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint  # noqa: E402

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
GOOD = {
    "README.md": "A tree.\n",
    "CMakeLists.txt": SPDX + "find_package(fuse3 RocksDB sgutils2 CLI11)\n"
                      "find_package(GTest)\n",
    "copy/README.md": "Copy.\n",
    "fs/README.md": "Mount.\n",
    "tools/README.md": "Tools.\n",
    "tests/README.md": "Tests.\n",
    "media/README.md": "Media.\n",
    "media/a.h": SPDX + "#pragma once\n#include <sys/stat.h>\n",
    "index/README.md": "Index.\n",
    "index/b.cc": SPDX + '#include "media/a.h"\n#include <vector>\n',
    "index/catalog.cc": SPDX + "#include <rocksdb/db.h>\n",
    "build/junk.cc": "#include <fuse.h>\n",
    "run": "#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\n",
}


class LintTest(unittest.TestCase):
    def rules(self, extra):
        with tempfile.TemporaryDirectory() as tree:
            for name, text in {**GOOD, **extra}.items():
                path = os.path.join(tree, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            return [(path, rule) for path, _, rule, _ in lint.lint(tree)]

    def test_good_tree_is_clean(self):
        self.assertEqual(self.rules({}), [])

    def test_what_others_wrote_is_theirs(self):
        code = "#include <zlib/z.h>\n"
        self.assertEqual(self.rules({
            "tests/third_party/README.md": "Theirs.\n",
            "tests/third_party/suite/x.cc": code}), [])
        self.assertNotEqual(self.rules({"tests/suite/x.cc": code}), [])

    def test_include_to_the_right(self):
        found = self.rules({"media/c.cc": SPDX + '#include "index/b.h"\n'})
        self.assertEqual(found, [("media/c.cc", "include")])

    def test_include_without_folder(self):
        found = self.rules({"media/c.cc": SPDX + '#include "a.h"\n'})
        self.assertEqual(found, [("media/c.cc", "include")])

    def test_format_knows_no_catalog(self):
        found = self.rules(
            {"media/udf/c.cc": SPDX + '#include "index/b.h"\n'})
        self.assertIn(("media/udf/c.cc", "include"), found)

    def test_tools_are_included_by_nobody(self):
        found = self.rules({"index/c.cc": SPDX + '#include "tools/x.h"\n'})
        self.assertEqual(found, [("index/c.cc", "include")])

    def test_third_party_header_outside_its_file(self):
        for header in ("rocksdb/db.h", "fuse_lowlevel.h", "CLI/CLI.hpp",
                       "scsi/sg_lib.h", "gtest/gtest.h", "boost/any.hpp"):
            found = self.rules({"index/c.cc": SPDX + f"#include <{header}>\n"})
            self.assertEqual(found, [("index/c.cc", "third-party")], header)

    def test_missing_spdx(self):
        found = self.rules({"media/c.cc": "int x;\n"})
        self.assertEqual(found, [("media/c.cc", "spdx")])
        found = self.rules({"tools/s": "#!/usr/bin/env bash\necho\n"})
        self.assertEqual(found, [("tools/s", "spdx")])

    def test_machine_path(self):
        text = "see /" + "home/someone/x\n"
        self.assertEqual(self.rules({"notes.md": text}),
                         [("notes.md", "machine-path")])

    def test_header_without_pragma_once(self):
        found = self.rules({"media/c.h": SPDX + "int x;\n"})
        self.assertEqual(found, [("media/c.h", "pragma-once")])

    def test_unfinished_work(self):
        found = self.rules({"media/c.cc": SPDX + "// TO" + "DO: all\n"})
        self.assertEqual(found, [("media/c.cc", "unfinished")])

    def test_broken_shell_script(self):
        found = self.rules({"run": GOOD["run"] + "if then\n"})
        self.assertEqual(found, [("run", "shell")])

    def test_folder_without_readme(self):
        found = self.rules({"copy/x/a.cc": SPDX, "copy/x/b.cc": SPDX})
        self.assertEqual(found, [("copy/x", "folder")])

    def test_layout(self):
        found = self.rules({"CMakeLists.txt": SPDX + "find_package(fuse3)\n"})
        self.assertEqual(found, [("CMakeLists.txt", "layout")] * 4)


if __name__ == "__main__":
    unittest.main()
