"""journal witness and submit: somebody else who remembers the index."""

import shutil
import socket
import subprocess

import harness


class Witness(harness.Case):
    def setUp(self):
        super().setUp()
        self.socket = self.scratch.base / "w"
        self.key = self.scratch.agent_run("key", "show").text.strip()
        self.witness = self.serve()
        self.vkey = self.witness.stdout.readline().decode().strip()

    def serve(self):
        process = subprocess.Popen([harness.AGENT_RUN, "journal", "witness", "--listen", self.socket, "--state", self.scratch.base / "witness",
                                    "--key", self.key], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.scratch.environment,
                                   start_new_session=True)
        self.addCleanup(self._stop, process)
        return process

    def submit(self, vkey=None):
        return self.scratch.agent_run("journal", "submit", "--to", self.socket, "--witness", vkey or self.vkey)

    def run_one(self):
        self.assertEqual(self.scratch.agent_run("--", "true").status, 0)

    def test_witness(self):
        self.run_one()
        seen = self.submit()
        self.assertEqual(seen.status, 0, str(seen))
        self.assertEqual(seen.text.count("\u2014 "), 2, str(seen))
        anchor = self.scratch.base / "anchor"
        anchor.write_bytes(seen.out)
        self.run_one()
        self.assertEqual(self.submit().status, 0)
        index = self.scratch.agent_run("journal", "verify", "--index", "--against", anchor)
        self.assertEqual(index.status, 0, str(index))
        # Killed and started again, it remembers.
        self.witness.kill()
        self.witness.wait(5)
        self.witness = self.serve()
        self.assertEqual(self.witness.stdout.readline().decode().strip(), self.vkey)
        # The index is made anew, as if the runs had never been.
        shutil.rmtree(self.scratch.state / "agent-run" / "index")
        self.run_one()
        gone = self.submit()
        self.assertIn(gone.status, (1, 2), str(gone))
        self.assertRegex(gone.text + gone.errors, "FORKED|TRUNCATED")
        for _ in range(4):
            self.run_one()
        forked = self.submit()
        self.assertEqual(forked.status, 1, str(forked))
        self.assertIn("FORKED", forked.text)
        verified = self.scratch.agent_run("journal", "verify", "--index", "--against", anchor)
        self.assertEqual(verified.status, 1, str(verified))
        self.assertIn("FORKED", verified.text)

    def test_refusals(self):
        self.run_one()
        other = self.scratch.agent_run("key", "show", "--journal", self.scratch.base / "other").text.strip()
        self.assertEqual(self.submit(other).status, 2)
        self.assertEqual(self.scratch.agent_run("journal", "submit", "--to", "/nowhere", "--witness", self.vkey).status, 2)
        for words in ((), ("--listen", "x"), ("--listen", self.scratch.base / "s", "--state", self.scratch.base / "s2")):
            self.assertEqual(self.scratch.agent_run("journal", "witness", *words).status, 2)
        second = self.scratch.agent_run("journal", "witness", "--listen", self.socket, "--state", self.scratch.base / "x", "--key", self.key)
        self.assertEqual(second.status, 2, "a socket that is listened to was taken away")

    def test_hostile_peers(self):
        """Rubbish, too much, and peers that go away do not end it."""
        self.run_one()
        for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 50_000,
                     b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 5\r\n\r\nold 0", b"\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(10)
                peer.connect(str(self.socket))
                try:
                    peer.sendall(data)
                    peer.shutdown(socket.SHUT_WR)
                    self.assertRegex(peer.recv(4096), rb"^(HTTP/1.1 40[04] |$)")
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assertEqual(self.submit().status, 0)
        self.assertIsNone(self.witness.poll())
