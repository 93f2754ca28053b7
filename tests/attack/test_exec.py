"""E1: other ways to an image that may not run."""

import shutil

import harness

REFUSED = frozenset({"EACCES", "EPERM", "ENOENT", "EROFS", "EXDEV", "ENOSYS", "EINTR", "ENOMSG", "signal-KILL"})


class Exec(harness.Case):
    def attack(self, **exec_rules):
        """The denied image is a copy of the probe `image` in the tools; it would make a mark in ws/marks."""
        denied = self.tools / "denied"
        shutil.copy2(harness.PROBES / "probe-image", denied)
        script = self.tools / "script"
        script.write_text(f"#!{denied}\n")
        script.chmod(0o755)
        marks = self.ws / "marks"
        marks.mkdir()
        probe = self.scratch.tool("probe-exec")
        words = [f"ws={self.ws}", f"denied={denied}", f"marks={marks}", f"script={script}"]
        self.scratch.write_profile(exec={"allow": ["/usr/**", f"{self.tools}/**"], "deny": [str(denied)], **exec_rules})
        outside, inside, runs = {}, {}, []
        for name in self.control(probe, "list", "exec").text.split():
            outside.update(harness.acts(self.control(probe, f"exec/{name}", *words)))
            for left in [*marks.iterdir(), self.ws / "linked", self.ws / "door"]:
                left.unlink(missing_ok=True)
            # One run an act: an image that ran although it must not takes its whole tree with it.
            run = self.inside(probe, f"exec/{name}", *words)
            inside.update(harness.acts(run) or {name: harness.Got("signal-KILL", f"exit {run.status}")})
            if not harness.acts(run):
                self.assertIn(run.status, (137, harness.REFUSED), str(run))
            self.assertEqual(list(marks.iterdir()), [], f"{name}: the denied image acted: {run}")
            runs.append(run)
        self.assert_refused(outside, inside, REFUSED)
        for run in runs:
            self.assert_complete(run)
        return dict(zip(outside, runs))

    def test_e1_writable_is_not_executable(self):
        runs = self.attack(writable="deny")
        plain = runs["plain"].decisions(act="deny", sys="execve")
        self.assertTrue(plain, "the plain act is in the journal")
        self.assertEqual(plain[0].get("path"), str(self.tools / "denied"))

    def test_e1_writable_is_not_granted(self):
        """exec.writable stays at allow, but no rule allows the workspace or scratch."""
        self.attack()

    def test_e1_images_that_act_elsewhere_first(self):
        """A denied static image, started as the interpreter of an allowed script: its first trapped call comes from
        itself, from a forked child, from a second thread."""
        marks = self.ws / "marks"
        marks.mkdir()
        denied = [self.tools / f"denied-{way}" for way in ("itself", "fork", "thread")]
        self.scratch.write_profile(exec={"allow": ["/usr/**", f"{self.tools}/**"], "deny": [str(path) for path in denied]})
        for image in denied:
            with self.subTest(image.name):
                shutil.copy2(harness.PROBES / "probe-static", image)
                script = self.tools / f"script-{image.name}"
                script.write_text(f"#!{image}\n")
                script.chmod(0o755)
                self.assertEqual(self.control(script, marks).status, 42, "proves nothing")
                for left in marks.iterdir():
                    left.unlink()
                for _ in range(5):
                    run = self.inside(script, marks)
                    self.assertEqual(list(marks.iterdir()), [], f"{image.name} acted: {run}")
                    self.assertNotEqual(run.status, 42, str(run))
                    self.assert_complete(run)

    def test_allowed_image_runs(self):
        """What is allowed runs: the refusals above come from the rule."""
        image = self.scratch.tool("probe-image")
        self.scratch.write_profile()
        run = self.inside(image, self.ws)
        self.assertEqual(run.status, 42, str(run))
        self.assertTrue((self.ws / "probe-image").exists())
        self.assertTrue(run.decisions(act="allow", sys="execve"))
