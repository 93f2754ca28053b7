"""F4: what /proc discloses."""

import os
import subprocess

import harness
from harness import ABSENT, IS_ROOT


class Proc(harness.Case):
    def victim(self):
        process = subprocess.Popen(["sleep", "100"], start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process.pid

    def attack(self, pid_inside):
        probe = self.scratch.tool("probe-proc")
        self.scratch.write_profile()
        outside = harness.acts(self.control(probe, "process", f"pid={self.victim()}"))
        run = self.inside(probe, "process", f"pid={pid_inside}")
        self.assert_refused(outside, run, ABSENT | {"ESRCH"})
        self.assert_complete(run)

    def test_f4_init(self):
        self.attack(1)

    def test_f4_a_process_of_the_host(self):
        self.attack(os.getpid())

    def test_f4_switches(self):
        probe = self.scratch.tool("probe-proc")
        self.scratch.write_profile()
        outside = harness.acts(self.control(probe, "switches"))
        run = self.inside(probe, "switches")
        # These belong to root: as a plain user the control cannot succeed, and root's pass proves them.
        # modprobe is absent from kernels without modules.
        unprovable = {name for name, got in outside.items() if got.word == "ENOENT"} if IS_ROOT else set(outside)
        self.assert_refused(outside, run, ABSENT | {"EROFS"}, unprovable=unprovable)
        self.assert_complete(run)

    def test_f4_own_files_still_work(self):
        probe = self.scratch.tool("probe-proc")
        self.scratch.write_profile()
        for reads in ("claimed", "exact", "off"):
            with self.subTest(reads=reads):
                self.scratch.write_profile(audit={"reads": reads})
                run = self.inside(probe, "own")
                got = {name: each.word for name, each in harness.acts(run).items()}
                self.assertEqual(set(got.values()), {"ok"}, got)
