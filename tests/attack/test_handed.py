"""G2 through descriptors 0, 1 and 2: a file of the host that was handed in is no way to more of it than was given."""

import os
import stat

import harness

# What may not follow from a descriptor, by its /proc name: run by the same interpreter outside and inside.
ACTS = """
import os, sys
def act(name, call):
    try:
        call()
        word = "ok"
    except OSError as error:
        word = "refused"
    sys.stderr.write(f"ACT {name} {word}\\n")
act("truncate-read-only", lambda: os.close(os.open("/proc/self/fd/0", os.O_RDONLY | os.O_TRUNC)))
act("write-read-only", lambda: os.close(os.open("/proc/self/fd/0", os.O_RDWR)))
act("mode-by-name", lambda: os.chmod("/proc/self/fd/1", 0o777))
act("times-by-name", lambda: os.utime("/proc/self/fd/1", (1, 1)))
act("append", lambda: os.write(1, b"given"))
"""
REFUSED = ("truncate-read-only", "write-read-only", "mode-by-name", "times-by-name")
AGAIN = """exec "$@" < "$IN" >> "$OUT" """


class Handed(harness.Case):
    def run_with_files(self, words):
        given, log = self.outside / "given", self.outside / "log"
        given.write_text("precious")
        log.write_text("before ")
        os.chmod(log, 0o600)
        environment = {**self.scratch.environment, "IN": str(given), "OUT": str(log)}
        result = harness.run(["sh", "-c", AGAIN, "sh", *words], env=environment, cwd=self.ws)
        self.assertFalse(result.timed_out, str(result))
        return result, given, log

    def test_handed_files_of_the_host(self):
        script = self.ws / "acts.py"
        script.write_text(ACTS)
        words = ("/usr/bin/python3", str(script))
        control, given, log = self.run_with_files(words)
        for name in REFUSED:
            self.assertIn(f"ACT {name} ok", str(control), "the control proves nothing")
        self.assertEqual(given.read_text(), "", "the control proves nothing")
        self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o777, "the control proves nothing")

        profile = self.scratch.write_profile()
        inside, given, log = self.run_with_files((harness.AGENT_RUN, "-p", str(profile), "--", *words))
        for name in REFUSED:
            self.assertIn(f"ACT {name} refused", str(inside))
        self.assertIn("ACT append ok", str(inside))
        self.assertEqual(given.read_text(), "precious")
        self.assertEqual(log.read_text(), "before given")
        self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o600)
