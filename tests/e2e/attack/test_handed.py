"""G2 through descriptors 0, 1 and 2: an inherited file of the host gives no more access than it was opened for."""

import os
import stat
import subprocess

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
act("read-by-a-path-descriptor", lambda: os.close(os.open(f"/proc/self/fd/{os.open('/proc/self/fd/1', os.O_PATH)}", os.O_RDONLY)))
act("append", lambda: os.write(1, b"given"))
"""
REFUSED = ("truncate-read-only", "write-read-only", "mode-by-name", "times-by-name", "read-by-a-path-descriptor")
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

        for reads in ("claimed", "exact"):
            with self.subTest(reads):
                profile = self.scratch.write_profile(audit={"reads": reads})
                inside, given, log = self.run_with_files((harness.AGENT_RUN, "-p", str(profile), "--", *words))
                for name in REFUSED:
                    self.assertIn(f"ACT {name} refused", str(inside))
                self.assertIn("ACT append ok", str(inside))
                self.assertEqual(given.read_text(), "precious")
                self.assertEqual(log.read_text(), "before given")
                self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o600)

    def race(self, act, redirection, milliseconds, *prefix):
        """Descriptor 0 is a file of the host, open one way; by a number that changes between it and another file it is wanted
        the other way."""
        given, own = self.outside / "given", self.ws / "own"
        given.write_text("precious")
        own.write_text("own")
        words = (*prefix, self.scratch.tool("probe-race"), f"handed/{act}", f"allowed={own}", f"milliseconds={milliseconds}", "limit=60")
        result = harness.run(["sh", "-c", f'exec "$@" {redirection} "$IN"', "sh", *words],
                             env={**self.scratch.environment, "IN": str(given)}, cwd=self.ws, timeout=120)
        self.assertEqual(result.status, 0, str(result))
        return harness.acts(result)[act]

    def test_c1_changing_descriptor_number(self):
        profile = self.scratch.write_profile(audit={"reads": "exact"})
        for act, redirection in (("handed-thread", "<"), ("handed-clone-vm", "0>>")):
            with self.subTest(f"{act} {redirection}"):
                outside = self.race(act, redirection, 300)
                self.assertTrue(outside.worked, f"proves nothing: {outside}")
                inside = self.race(act, redirection, 1500, harness.AGENT_RUN, "-p", profile, "--")
                self.assertEqual(inside.count("forbidden"), 0, f"HAPPENED inside: {inside}")
                for side in ("allowed", "refused"):
                    self.assertGreater(inside.count(side), 50, f"the race never met this side: {inside}")

    def test_inherited_file_is_read_by_its_names(self):
        """python3 /dev/stdin < FILE works with any mode of reads, as outside, and gives no more."""
        given = self.outside / "given"
        for reads in ("exact", "claimed"):
            self.scratch.write_profile(audit={"reads": reads})
            for name in ("/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"):
                with self.subTest(f"{reads} {name}"):
                    given.write_text("data")
                    for words in (["sh", "-c"], [harness.AGENT_RUN, "-p", str(self.scratch.profile_file), "--", "sh", "-c"]):
                        with open(given, "rb") as file:
                            done = subprocess.run([*words, f"cat {name}; cat {name}"], stdin=file, capture_output=True, cwd=self.ws, timeout=60,
                                                  env=self.scratch.environment, check=False)
                        self.assertEqual((done.returncode, done.stdout), (0, b"datadata"), done.stderr)
                    with open(given, "rb") as file:
                        done = subprocess.run([harness.AGENT_RUN, "-p", str(self.scratch.profile_file), "--", "sh", "-c", f"echo evil > {name}"],
                                              stdin=file, capture_output=True, cwd=self.ws, timeout=60, env=self.scratch.environment, check=False)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertEqual(given.read_text(), "data")
