"""Somebody else's suite of small cases, as docs/fidelity.md says: `agent-run -p allow-all -- SUITE`, compared with outside.

tests/kernel runs the same cases inside the tests of the broker, under `coding` and every value of audit.reads. Here they go
through the command line and the shipped profile that is made for this.
"""

import fnmatch
import re
import shutil

import harness

SUITE = harness.BUILD / "tests" / "kernel" / "fidelity"


def cases(text):
    """The suite's lines by case: one that is not indented begins with the case's name, up to a space or a dot."""
    found, name = {}, None
    for line in text.splitlines():
        if not line.startswith(" "):
            name = re.split(r"[ .]", line, maxsplit=1)[0]
        found[name] = found.get(name, "") + line + "\n"
    return found


class Suite(harness.Case):
    def setUp(self):
        super().setUp()
        self.suite = shutil.copy2(SUITE, self.tools / "suite")
        rows = (harness.TOP / "docs" / "fidelity.md").read_text()
        self.listed = re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)

    def test_allow_all(self):
        folders = []
        for name in ("outside", "inside"):
            (self.ws / name).mkdir()
            folders.append(self.ws / name)
        outside = cases(self.control(self.suite, cwd=folders[0], timeout=240).text)
        self.assertGreater(len(outside), 2000)
        run = self.inside("sh", "-c", 'cd inside && exec "$0"', self.suite, profile="allow-all", timeout=240)
        self.assertEqual(run.status, 0, run.errors[-2000:])
        inside = cases(run.text)
        different = [name for name, lines in outside.items() if inside.get(name) != lines]
        unlisted = [f"{name}\n  outside: {outside[name]}  inside: {inside.get(name)}" for name in different
                    if not any(fnmatch.fnmatchcase(name, row) for row in self.listed)]
        self.assertEqual(unlisted, [])
        self.assertEqual(set(inside) - set(outside), set())
        self.assertGreater(len(run.decisions()), len(outside), "the calls did not come to the broker")
        self.assert_complete(run)
