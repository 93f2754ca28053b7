"""K4: keys and journals stay hidden wherever their directory is: another XDG_STATE_HOME, another HOME, moved, copied,
or inside a directory that a live run shows. Files that agents could write stay marked as such when they are moved."""

import os
import pathlib
import pwd
import shutil
import subprocess

import harness

KEY = "PRIVATE+KEY+"


class Case(harness.Case):
    """Each test makes a state directory below `place`, and shows `place` to another run."""

    def setUp(self):
        super().setUp()
        self.place = self.scratch.base / "place"
        self.place.mkdir()
        self.scratch.write_profile()

    def env(self, state=None, home=None):
        """HOME and XDG_STATE_HOME; without a state the latter is not set."""
        env = {key: value for key, value in self.scratch.environment.items() if key != "XDG_STATE_HOME"}
        env["HOME"] = str(home or self.scratch.home)
        return {**env, "XDG_STATE_HOME": str(state)} if state else env

    def assert_told(self, result, needle):
        """A command other than a run: exit 2, one line."""
        self.assertEqual(result.status, 2, str(result))
        self.assertEqual(len(result.errors.splitlines()), 1, str(result))
        self.assertRegex(result.errors, needle)


class States(Case):
    """The directory was made before the run that must not read it."""

    def made(self, *options, env=None):
        result = self.scratch.agent_run("-p", self.scratch.profile_file, *options, "--", "true", env=env)
        self.assertEqual(result.status, 0, str(result))
        return result

    def look(self, place, *options, env=None):
        """What a run that shows the place reads of keys in it. The control reads them outside."""
        script = f"cat $(find {place} -name identity.key) </dev/null; cat {place}/identity.key {place}/*/identity.key {place}/*/*/identity.key; true"
        self.assertIn(KEY, self.control("bash", "-c", script).text, "the control: there is a key")
        result = self.scratch.agent_run("-p", self.scratch.profile_file, "--read", place, *options, "--", "bash", "-c", script, env=env)
        self.assertNotIn(KEY, result.text, str(result))
        return result

    def hidden(self, *words, **more):
        result = self.look(*words, **more)
        self.assertEqual(result.status, 0, str(result))
        return result

    def test_another_state_home(self):
        """There is no usual state directory; the account's directory remembers."""
        self.made(env=self.env(self.place / "s"))
        self.hidden(self.place, env=self.env(self.scratch.base / "t"))

    def test_another_home(self):
        self.made(env=self.env(home=self.place))
        self.hidden(self.place, env=self.env(home=self.scratch.base / "other"))

    def test_journal_elsewhere(self):
        self.made("--journal", self.place / "j")
        self.hidden(self.place, env=self.env(self.scratch.base / "t", self.scratch.base / "other"))

    def test_moved(self):
        self.made(env=self.env(self.place / "s"))
        (self.place / "s/agent-run").rename(self.place / "moved")
        told = self.hidden(self.place, env=self.env(self.scratch.base / "t"))
        self.assertIn("moved is hidden: it holds an identity of agent-run", told.errors)
        # Without the key it is known as what it was.
        (self.place / "moved/identity.key").rename(self.scratch.base / "key")
        (self.place / "moved/identity.vkey").unlink()
        run = self.scratch.agent_run("-p", self.scratch.profile_file, "--read", self.place, "--", "ls", self.place / "moved", env=self.env(self.scratch.base / "t"))
        self.assertNotEqual(run.status, 0, str(run))
        self.assertIn("Permission denied", run.errors)

    def test_moved_with_its_parent(self):
        self.made(env=self.env(self.place / "a/b/s"))
        (self.place / "a").rename(self.place / "x")
        self.hidden(self.place, env=self.env(self.scratch.base / "t"))
        # As a grant that only the new names lead to, and one inside the directory.
        self.hidden(self.place / "x/b/s/agent-run", env=self.env(self.scratch.base / "t"))
        inside = self.place / "x/b/s/agent-run/runs"
        run = self.scratch.agent_run("-p", self.scratch.profile_file, "--read", inside, "--", "ls", inside, env=self.env(self.scratch.base / "t"))
        self.assertNotEqual(run.status, 0, str(run))

    def test_copied_and_of_an_earlier_version(self):
        """Nothing remembers a copy: its content identifies it."""
        self.made(env=self.env(self.scratch.base / "s"))
        shutil.copytree(self.scratch.base / "s", self.place / "backup")
        told = self.hidden(self.place, env=self.env(self.scratch.base / "t"))
        self.assertIn("is hidden", told.errors)
        # Writable: neither changed nor moved away, nor what is above it.
        self.scratch.write_profile(files={"write": [str(self.place)]})
        run = self.inside("bash", "-c", f"cd {self.place}; mv backup/agent-run x && echo moved; mv backup x && echo moved; cat */*/identity.key; rm -rf backup; echo end", env=self.env(self.scratch.base / "t"))
        self.assertEqual(run.text.split(), ["end"], str(run))
        self.assertTrue((self.place / "backup/agent-run/identity.key").exists())

    def test_workspace_in_one(self):
        self.made(env=self.env(self.place / "s"))
        shutil.copytree(self.place / "s/agent-run", self.place / "copy")
        work = self.place / "copy/runs"
        result = self.scratch.agent_run("-p", "default", "-w", work, "--", "true", env=self.env(self.scratch.base / "t"), cwd=self.place)
        self.assert_one_line_refusal(result, "lies in .*copy, which holds an identity of agent-run")

    def test_other_files_of_that_name(self):
        """A file that only has the name is shown."""
        (self.place / "pki").mkdir()
        (self.place / "pki/identity.key").write_text("-----BEGIN PRIVATE KEY-----\n")
        (self.place / "keys").mkdir()
        (self.place / "keys/identity.vkey").write_text("agent-run/0123456789abcdef+00000000+AAAA\n")
        run = self.scratch.agent_run("-p", self.scratch.profile_file, "--read", self.place, "--", "cat", self.place / "pki/identity.key", self.place / "keys/identity.vkey")
        self.assertEqual(run.status, 0, str(run))
        self.assertEqual(run.errors, "")

    def test_second_name_of_the_key(self):
        """A hard link, made by anyone: a key that is hidden by one name can be read by the other."""
        self.made()
        key = self.scratch.state / "agent-run/identity.key"
        os.link(key, self.place / "k")
        run = self.scratch.agent_run("-p", self.scratch.profile_file, "--", "true")
        self.assert_one_line_refusal(run, "identity.key has another name", f"-inum {key.stat().st_ino}")
        (self.place / "k").unlink()
        self.made()
        for mode in (0o640, 0o604):
            key.chmod(mode)
            self.assert_one_line_refusal(self.scratch.agent_run("-p", self.scratch.profile_file, "--", "true"), "must have mode 0600")
        key.chmod(0o600)
        self.made()

    def test_account(self):
        """The directory where all runs of a user look: by the user database, whatever HOME says. Its own memory is
        hidden too."""
        home = pathlib.Path(pwd.getpwuid(os.geteuid()).pw_dir)
        account = home / ".local/state/agent-run"
        if not home.is_dir() or home.stat().st_uid != os.geteuid():  # then there is nothing to remember in
            self.made(env=self.env(self.place / "s"))
            self.assertFalse(account.exists())
            return
        self.made(env=self.env(self.place / "s"))
        remembered = (account / "states").read_bytes()
        self.assertIn(os.fsencode(self.place / "s/agent-run"), remembered)
        run = self.scratch.agent_run("-p", self.scratch.profile_file, "--read", account.parent, "--", "cat", account / "states", env=self.env(self.scratch.base / "t"))
        self.assertNotEqual(run.status, 0, str(run))
        self.assertNotIn(b"agent-run-test", run.out)


class Live(Case):
    """The directory is made while another run shows the place."""

    def setUp(self):
        super().setUp()
        self.go = self.ws / "go"
        script = f"touch {self.ws}/up; until test -e {self.go}; do sleep 0.05; done; cat {self.place}/*/identity.key {self.place}/*/*/identity.key {self.place}/log; true"
        self.live = self.start("bash", "-c", script, options=("--read", self.place))
        self.wait_for(lambda: (self.ws / "up").exists(), 10, "the other run")

    def ended(self):
        self.go.touch()
        out, err = self.live.communicate(timeout=60)
        self.assertNotIn(KEY.encode(), out, err)
        self.assertNotIn(b"journal.open", out, err)

    def begins(self, *options, env=None):
        return self.scratch.agent_run("-p", self.scratch.profile_file, *options, "--", "true", env=env)

    def test_the_whole_host_holds_up_nobody(self):
        """A run with weaken: [host-root] shows the host as told; other runs still start."""
        whole = self.start("bash", "-c", f"touch {self.ws}/whole; until test -e {self.go}; do sleep 0.05; done", profile="allow-all")
        self.wait_for(lambda: (self.ws / "whole").exists(), 10, "the run that shows all")
        run = self.begins("--journal", self.scratch.base / "apart")
        self.assertEqual(run.status, 0, str(run))
        self.assertNotEqual(self.begins("--journal", self.place / "j").status, 0, "the control: the other run shows that place by name")
        self.ended()
        whole.communicate(timeout=60)

    def test_journal_of_a_later_run(self):
        needle = "a running run shows its command the files that this one would store in "
        self.assert_one_line_refusal(self.begins("--journal", self.place / "j"), needle)
        self.assert_one_line_refusal(self.begins(env=self.env(self.place)), needle)
        self.assert_one_line_refusal(self.begins(env=self.env(home=self.place)), needle)
        self.assert_one_line_refusal(self.begins("--sink", f"file:{self.place}/log"), needle)
        self.assertEqual(list(self.place.iterdir()), [], "a run that is refused leaves nothing")
        # The directory that the other run shows, by the name that it has now.
        self.place.rename(self.scratch.base / "renamed")
        self.assert_one_line_refusal(self.begins("--journal", self.scratch.base / "renamed/j"), needle)
        (self.scratch.base / "renamed").rename(self.place)
        self.ended()
        # The control: now that nobody shows it.
        made = self.begins("--journal", self.place / "j")
        self.assertEqual(made.status, 0, str(made))
        self.assertTrue((self.place / "j/identity.key").exists())

    def test_witness(self):
        key = self.scratch.agent_run("key", "show").text.strip()
        told = self.scratch.agent_run("journal", "witness", "--listen", self.scratch.base / "sock", "--state", self.place / "w", "--key", key)
        self.assert_told(told, "is shown to the command of a run that is going on")
        self.ended()

    def test_keys_by_a_link(self):
        """A link to the keys may have any name: links are the user's own."""
        link = self.scratch.base / "ln"
        link.symlink_to(self.place)
        key = self.scratch.agent_run("key", "show").text.strip()
        needle = "is shown to the command of a run that is going on"
        self.assert_told(self.scratch.agent_run("key", "show", "--journal", link / "a/b"), needle)
        self.assert_told(self.scratch.agent_run("key", "show", env=self.env(link)), needle)
        self.assert_told(self.scratch.agent_run("key", "show", env=self.env(home=link)), needle)
        self.assert_told(self.scratch.agent_run("journal", "witness", "--listen", self.scratch.base / "sock", "--state", link / "w", "--key", key), needle)
        self.assertEqual(list(self.place.iterdir()), [], "what is refused leaves nothing")
        self.ended()
        made = self.scratch.agent_run("key", "show", "--journal", link / "a/b")
        self.assertEqual(made.status, 0, str(made))
        self.assertTrue((self.place / "a/b/identity.key").exists())

    def test_forward_into_what_it_shows(self):
        link = self.scratch.base / "ln"
        link.symlink_to(self.place)
        for log in (self.place / "log", link / "log"):
            self.assert_told(self.scratch.agent_run("journal", "forward", self.first_run(), "--sink", f"file:{log}"), "is shown to the command of a run that is going on")
        self.assertEqual(list(self.place.iterdir()), [])
        self.ended()
        sent = self.scratch.agent_run("journal", "forward", self.first_run(), "--sink", f"file:{link}/log")
        self.assertEqual(sent.status, 0, str(sent))
        self.assertIn("journal.open", (self.place / "log").read_text())

    def first_run(self):
        """One that has ended."""
        runs = self.scratch.state / "agent-run/runs"
        done = [path.name for path in sorted(runs.iterdir()) if b"journal.close" in (path / "entries.000000.jsonl").read_bytes()]
        if not done:
            self.assertEqual(self.begins().status, 0)
            return self.first_run()
        return done[0]

    def test_a_command_that_uses_a_key_is_registered(self):
        """While the command lives, no start shows its directory: it registers first and looks then, as runs do."""
        self.ended()
        key = self.scratch.agent_run("key", "show").text.strip()
        words = ("journal", "witness", "--listen", self.scratch.base / "sock", "--state", self.place / "w", "--key", key)
        witness = subprocess.Popen([harness.AGENT_RUN, *map(str, words)], env=self.scratch.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(witness.kill)
        self.wait_for(lambda: (self.scratch.base / "sock").exists(), 10, "the witness")
        run = self.scratch.agent_run("-p", self.scratch.profile_file, "--read", self.place, "--", "bash", "-c", f"ls -a {self.place}/w; cat {self.place}/w/*")
        witness.kill()
        witness.wait(timeout=60)
        self.assertNotIn(KEY, run.text, str(run))
        self.assertIn(KEY, self.control("bash", "-c", f"cat {self.place}/w/*").text)

    def test_live_is_a_link(self):
        """The link's target is not cleaned up: those are somebody's files."""
        self.ended()
        theirs = self.scratch.base / "theirs"
        theirs.mkdir()
        for name in ("thesis", "123-456"):
            (theirs / name).write_text("x")
        live = self.scratch.state / "agent-run/live"
        for old in live.iterdir():
            old.unlink()
        live.rmdir()
        live.symlink_to(theirs)
        self.assert_one_line_refusal(self.begins(), "live: Too many levels of symbolic links")
        self.assertEqual(sorted(path.name for path in theirs.iterdir()), ["123-456", "thesis"])
        live.unlink()
        live.mkdir(mode=0o700)
        for name in ("notes.txt", "1-2"):
            (live / name).write_text("x")
        self.assertEqual(self.begins().status, 0)
        self.assertEqual([path.name for path in live.iterdir()], ["notes.txt"], "what a killed run left has a name of its form")

    def test_others_are_not_in_the_way(self):
        """The same state directory, and others outside the shown directories, do not stop a run."""
        for env in (None, self.env(self.scratch.base / "t"), self.env(home=self.scratch.base / "other")):
            run = self.begins(env=env)
            self.assertEqual(run.status, 0, str(run))
        # A run that was killed is not going on, and leaves nothing for long.
        self.live.kill()
        self.live.communicate(timeout=60)
        self.wait_for(lambda: self.begins("--journal", self.place / "j").status == 0, 5, "the end of what the killed run had started")
        self.assertEqual(list((self.scratch.state / "agent-run/live").iterdir()), [])

    def test_sink_of_a_live_run(self):
        """The later run shows the place: the other run's records are hidden from it."""
        self.ended()
        (self.ws / "up").unlink()
        self.go.unlink()
        log = self.place / "log"
        other = self.start("bash", "-c", f"touch {self.ws}/up; until test -e {self.go}; do sleep 0.05; done", options=("--sink", f"file:{log}"))
        self.wait_for(lambda: (self.ws / "up").exists() and log.exists() and log.stat().st_size > 0, 10, "records in the file")
        run = self.scratch.agent_run("-p", self.scratch.profile_file, "--read", self.place, "--", "cat", log)
        self.assertNotIn("journal.open", run.text, str(run))
        self.assertIn("journal.open", self.control("cat", log).text)
        self.go.touch()
        other.communicate(timeout=60)


class Moved(Case):
    """Directories that an agent could write, moved by the user."""

    def test_directories_of_agents(self):
        project = self.scratch.base / "pj"
        (project / "d").mkdir(parents=True)
        (self.outside / "secret").write_text("x")
        self.scratch.write_profile(workspace={"path": str(project), "mode": "write"})
        self.assert_ran(self.inside("bash", "-c", f"cd {project}; ln -s {self.outside} l; mkdir s; echo 'agent-run: 1' > team.yaml", cwd=project))
        new = self.scratch.base / "renamed"
        project.rename(new)

        def refused(*words):
            result = self.scratch.agent_run(*words, "--", "true")
            self.assert_one_line_refusal(result, f"{new}, where an agent could write")

        refused("-p", "default", "-w", new / "l")
        refused("-p", "default", "--read", new / "l")
        refused("-p", new / "team.yaml")
        refused("-p", "default", "--journal", new / "s/j")
        refused("-p", "default", "--sink", f"file:{new}/records")
        # Another directory by the old name is not what it was, but the name stays suspect; one of another name is not.
        other = self.scratch.base / "fresh"
        other.mkdir()
        (other / "l").symlink_to(self.outside)
        control = self.scratch.agent_run("-p", "default", "-w", other / "l", "--", "true")
        self.assertEqual(control.status, 0, str(control))

    def test_keys_that_agents_could_have_made(self):
        """A witness, `key` and `apply` use keys and act on the contents of a directory."""
        project = self.scratch.base / "pj"
        project.mkdir()
        self.scratch.write_profile(workspace={"path": str(project), "mode": "write"})
        key = self.scratch.agent_run("key", "show").text.strip()
        self.assert_ran(self.inside("mkdir", "w", cwd=project))
        needle = "pj, where an agent could write in an earlier run"
        for words in (("journal", "witness", "--listen", self.scratch.base / "sock", "--state", project / "w", "--key", key), ("key", "show", "--journal", project / "w"),
                      ("apply", "--journal", project / "w"), ("discard", "--journal", project / "w")):
            self.assert_told(self.scratch.agent_run(*words), needle)
        self.assertEqual(list((project / "w").iterdir()), [])
        shown = self.scratch.agent_run("key", "show", "--journal", self.scratch.base / "elsewhere")
        self.assertEqual(shown.status, 0, str(shown))

    def test_outputs_through_links_of_agents(self):
        """-o, tiles and forwarded records: an agent's link does not decide where they go."""
        project = self.scratch.base / "pj"
        project.mkdir()
        self.scratch.write_profile(workspace={"path": str(project), "mode": "write"})
        run = self.inside("bash", "-c", f"ln -s {self.outside} out; mkdir own", cwd=project)
        self.assert_ran(run)
        (self.outside / "report").write_text("mine")
        needle = "pj, where an agent could write"
        name = sorted((self.scratch.state / "agent-run/runs").iterdir())[-1].name
        for words in (("report", name, "-o", project / "out/report"), ("export", name, "--format", "ecs", "-o", project / "out/report"),
                      ("export", name, "--tlog-tiles", project / "out/tiles"), ("stamp", name, "-o", project / "out/report"),
                      ("forward", name, "--sink", f"file:{project}/out/report"), ("forward", name, "--sink", f"file:{project}/own/new")):
            self.assert_told(self.scratch.agent_run("journal", *words), needle)
        self.assertEqual((self.outside / "report").read_text(), "mine")
        self.assertEqual([path.name for path in self.outside.iterdir()], ["report"])
        # The controls: no link of an agent's on the way; a link of the user's.
        for target in (project / "own/report", self.scratch.base / "mine/report"):
            if not target.parent.exists():
                target.parent.symlink_to(self.outside)
            told = self.scratch.agent_run("journal", "report", name, "-o", target)
            self.assertEqual(told.status, 0, str(told))
        self.assertNotEqual((self.outside / "report").read_text(), "mine")
