"""The identity in ssh-agent: the private half is nowhere in the state directory."""

import os
import subprocess

import harness


class Agent(harness.Case):
    def setUp(self):
        super().setUp()
        self.socket = self.scratch.base / "agent"
        self.environment = {**self.scratch.environment, "SSH_AUTH_SOCK": str(self.socket)}
        self.agent = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL, env=self.environment, start_new_session=True)
        self.addCleanup(self._stop, self.agent)
        self.wait_for(self.socket.exists, 10, "ssh-agent")
        self.state = self.scratch.state / "agent-run"

    def add_key(self, comment):
        path = self.scratch.base / comment
        self.assertEqual(harness.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path]).status, 0)
        self.assertEqual(harness.run(["ssh-add", "-q", path], env=self.environment).status, 0)

    def agent_run(self, *words):
        return self.scratch.agent_run(*words, env=self.environment)

    def test_run(self):
        self.assertEqual(self.agent_run("key", "agent").status, 2, "without a key")
        self.add_key("journal")
        self.add_key("other")
        self.assertEqual(self.agent_run("key", "agent").status, 2, "with two that fit")
        adopted = self.agent_run("key", "agent", "jour")
        self.assertEqual(adopted.status, 0, str(adopted))
        self.assertEqual(self.agent_run("key", "show").text, adopted.text)
        self.assertEqual(self.agent_run("key", "agent", "other").status, 2, "a second identity")
        for _ in range(2):
            self.assertEqual(self.agent_run("--", "true").status, 0)
        self.assertFalse((self.state / "identity.key").exists())
        # Verifying needs no agent.
        for words in (("verify",), ("verify", "--index")):
            verified = self.scratch.agent_run("journal", *words)
            self.assertEqual(verified.status, 0, str(verified))
        second = harness.run([harness.TOP / "scripts/verify-journal", "--key", self.state / "identity.vkey", *(self.state / "runs").iterdir()],
                             env=self.scratch.environment)
        self.assertEqual(second.status, 0, str(second))
        # Without its key nothing runs.
        self.assertEqual(harness.run(["ssh-add", "-q", "-D"], env=self.environment).status, 0)
        self.assert_one_line_refusal(self.agent_run("--", "touch", self.ws / "made"), "ssh-agent", nothing=self.ws / "made")
        self.assert_one_line_refusal(self.scratch.agent_run("--", "touch", self.ws / "made"), "SSH_AUTH_SOCK", nothing=self.ws / "made")
        self.assertFalse(os.path.exists(self.state / "identity.key"), "a second identity was made")
