"""F2, K1: a guarded file is guarded by each of its names: links at guarded names and inside guarded directories,
chains, dangling links, hard links of an earlier run. agent-run explain says what a run then does."""

import json
import os
import shutil

import harness
from harness import DENIED

# Tries each [act, path] of a JSON file below a directory; prints the errno's name, or "ok", for each.
PROBE = """
import errno, json, os, sys
top, acts = sys.argv[1], json.load(open(sys.argv[2]))
def made(name):
    with open(name, "w") as f: f.write("evil")
    return name
def append(p):
    fd = os.open(p, os.O_WRONLY | os.O_APPEND); os.write(fd, b"evil"); os.close(fd)
def create(p):
    os.close(os.open(p, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)); os.unlink(p)
def through(p):
    os.close(os.open(p, os.O_WRONLY | os.O_CREAT, 0o644))
def read(p): open(p, "rb").read()
def listing(p): os.listdir(p)
def truncate(p): os.truncate(p, 1)
def chmod(p): os.chmod(p, 0o755)
def utime(p): os.utime(p)
def link(p): os.link(p, top + "/linked"); os.unlink(top + "/linked")
def replace(p): os.rename(made(top + "/made"), p)
def remove(p): os.unlink(p)
def symlink(p): os.symlink("elsewhere", p); os.unlink(p)
def hard(p): os.link(made(top + "/made"), p); os.unlink(p)
def mkdir(p): os.mkdir(p); os.rmdir(p)
def swap(p):
    try: os.symlink("elsewhere", top + "/aside")
    except FileExistsError: pass
    os.unlink(p); os.rename(top + "/aside", p)
def slip(p):  # a directory that is prepared elsewhere and then moved there
    d = os.path.dirname(p); os.rename(d, d + ".old"); os.mkdir(d + ".new"); made(d + ".new/" + os.path.basename(p)); os.rename(d + ".new", d)
out = []
for act, path in acts:
    try: globals()[act](os.path.join(top, path)); out.append("ok")
    except OSError as e: out.append(errno.errorcode[e.errno])
print(json.dumps(out))
"""


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.probe = self.tools / "probe.py"
        self.probe.write_text(PROBE)
        self.list = self.tools / "acts.json"

    def both(self, build, acts, **profile):
        """The acts in a tree outside and in one inside; the run, and [(act, path, outside, inside)]."""
        self.list.write_text(json.dumps(acts))
        copy = self.outside / "ws"
        copy.mkdir()
        for top in (copy, self.ws):
            build(top)
        control = self.control("/usr/bin/python3", self.probe, copy, self.list)
        self.assertEqual(control.status, 0, str(control))
        self.scratch.write_profile(**profile)
        self.explained = self.explain(acts)
        run = self.inside("/usr/bin/python3", self.probe, self.ws, self.list)
        self.assert_ran(run)
        self.assert_complete(run)
        lines = [json.loads(result.text) for result in (control, run)]
        return run, [(*act, *got) for act, *got in zip(acts, *lines)]

    def explain(self, acts):
        """What explain says of each act's path: allow or deny."""
        words = [word for act, path in acts for word in ("--open" if act in ("read", "listing") else "--write", str(self.ws / path))]
        # Questions are answered kind by kind, in order.
        told = [line.split(":")[0] for line in self.scratch.agent_run("explain", "-p", self.scratch.profile_file, *words).text.splitlines()
                if line.startswith(("allow: ", "deny: "))]
        kinds = sorted(range(len(acts)), key=lambda i: acts[i][0] not in ("read", "listing"))
        self.assertEqual(len(told), len(acts))
        return [said for _, said in sorted(zip(kinds, told))]

    def assert_denied(self, results):
        faults = [f"{act} {path}: {inside} inside, {outside} outside" for act, path, outside, inside in results
                  if outside != "ok" or inside not in DENIED]
        self.assertFalse(faults, "\n".join(faults))

    def assert_allowed(self, results):
        faults = [f"{act} {path}: {inside} inside, {outside} outside" for act, path, outside, inside in results if outside != "ok" or inside != "ok"]
        self.assertFalse(faults, "\n".join(faults))


def file(top, path, text="mine"):
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    (top / path).write_text(text)


def leads(top, path, to):
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(to, top / path)


class Shipped(Case):
    """Common layouts, under the shipped rules."""

    @staticmethod
    def build(top):
        file(top, ".git/config")
        file(top, "scripts/pc")
        leads(top, ".git/hooks/pre-commit", "../../scripts/pc")
        (top / "githooks").mkdir()
        leads(top, "r2/.git/hooks", "../../githooks")
        file(top, "dev/tasks.json")
        leads(top, ".vscode/tasks.json", "../dev/tasks.json")
        leads(top, ".mcp.json", "nowhere")
        leads(top, ".envrc", "local/envrc")
        (top / "local").mkdir()
        (top / "ci").mkdir()
        leads(top, ".github/workflows", "../ci")
        (top / "sk").mkdir()
        leads(top, ".claude/skills", "../sk")
        file(top, "h2/x")
        leads(top, ".husky", "h1")
        leads(top, "h1", "h2")
        file(top, "mm/gdb")
        leads(top, "m", "mm")
        leads(top, ".gdbinit", "m/gdb")
        file(top, "idea/y")
        file(top, "ix.xml")
        leads(top, "idea/x.xml", "../ix.xml")
        leads(top, ".idea", top / "idea")
        file(top, "copies/exrc")
        os.link(top / "copies/exrc", top / ".exrc")
        file(top, "gd3/config")
        leads(top, "r3/.git", "../gd3")
        (top / "p").mkdir()
        file(top, "lldb")
        leads(top, ".lldbinit", "p/../lldb")
        file(top, "doc2/a")
        leads(top, "docs", "doc2")
        file(top, "src/a")

    GUARDED = [(act, path) for path in ("scripts/pc", "dev/tasks.json", "h2/x", "mm/gdb", "idea/y", "ix.xml", "copies/exrc", "gd3/config", "lldb")
               for act in ("append", "truncate", "chmod", "utime", "link")]
    NEW = [(act, path) for path in ("githooks/x", "nowhere", "local/envrc", "ci/y.yml", "sk/z", "h2/new", "gd3/hooks", "idea/new")
           for act in ("create", "symlink", "hard", "mkdir")]
    THROUGH = [("through", path) for path in (".mcp.json", ".envrc", "h1/x", "m/gdb", "docs/../scripts/pc")]
    MOVES = [("slip", path) for path in ("local/envrc", "mm/gdb", "dev/tasks.json")]
    LINKS = [("swap", path) for path in ("h1", "m", ".mcp.json")]
    LAST = [("replace", path) for path in ("scripts/pc", "dev/tasks.json", "h2/x", "mm/gdb", "ix.xml", "gd3/config", "lldb")]
    FREE = [("append", "src/a"), ("append", "docs/a"), ("create", "docs/b"), ("swap", "docs"), ("remove", "src/a"), ("create", "r2/new")]

    def test_every_name(self):
        acts = self.GUARDED + self.NEW + self.THROUGH + self.LAST + self.LINKS + self.MOVES
        run, results = self.both(self.build, acts + self.FREE, extends=["debian", "host-exec"])
        self.assert_denied(results[:len(acts)])
        self.assert_allowed(results[len(acts):])
        record = run.decisions(act="deny", path=str(self.ws / "scripts/pc"))[0]
        self.assertEqual(record["stands_for"], str(self.ws / ".git/hooks/pre-commit"))
        self.assertTrue(record["rule"].startswith("git-safe:files.protect"))
        why = self.scratch.agent_run("why", run.id).text
        self.assertIn(f"stands for {self.ws}/.git/hooks/pre-commit", why)
        wrong = [f"{act} {path}: explain says {said}" for said, (act, path) in zip(self.explained, self.GUARDED + self.NEW) if said != "deny"]
        self.assertFalse(wrong, "\n".join(wrong))

    def test_hard_links_of_guarded_names(self):
        """The agent cannot give a guarded file of a workspace a second name, in any directory."""
        def build(top):
            file(top, "sub/.envrc")
            file(top, "sub/plain")
        run, results = self.both(build, [("link", "sub/.envrc"), ("hard", "sub/.vscode/tasks.json"), ("hard", "sub/.mcp.json"), ("link", "sub/plain")],
                                 extends=["debian", "host-exec"])
        self.assertEqual([inside for *_, inside in results], ["EXDEV", "ENOENT", "EXDEV", "ok"], str(results))
        self.assertEqual(len(run.decisions(act="deny", errno="EXDEV")), 2)

    def test_earlier_run(self):
        """A second name that a run left in one directory guards the file in a run that starts there."""
        file(self.ws, "sub/a")
        self.scratch.write_profile(extends=["debian", "host-exec"])
        script = "cd sub && ln a b && mv b .envrc"
        self.assert_ran(self.inside("sh", "-c", script))
        self.assertTrue(os.path.samefile(self.ws / "sub/a", self.ws / "sub/.envrc"), "the earlier run did it")
        later = self.scratch.base / "later.yaml"
        later.write_text(harness.profile_text(extends=["debian", "host-exec"], workspace={"path": str(self.ws / "sub"), "mode": "write"},
                                              exec={"allow": ["/usr/**"]}))
        run = self.inside("sh", "-c", "echo evil >> a; echo ok > new", profile=later)
        self.assertEqual((self.ws / "sub/.envrc").read_text(), "mine")
        self.assertEqual((self.ws / "sub/new").read_text(), "ok\n")
        self.assertEqual(run.decisions(act="deny", path=str(self.ws / "sub/a"))[0]["stands_for"], str(self.ws / "sub/.envrc"))


FORMS = ("${workspace}/%s/key", "${workspace}/%s", "${workspace}/%s/", "${workspace}/%s/**", "${workspace}/%s/*", "**/key", "**/%s/**", "${workspace}/**/key")
PLACES = ("plain", "linked", "chained", "dangling", "hard", "moved", "through")


class Generated(Case):
    """Link shapes × rule forms × calls: a run does what explain says, and a guarded file stays guarded."""

    @staticmethod
    def build(top):
        file(top, "plain/key")
        file(top, "plain/sub/key")
        file(top, "real/linked")
        leads(top, "linked/key", "../real/linked")
        file(top, "real/chained")
        leads(top, "chained/key", "../hop")
        leads(top, "hop", "real/chained")
        leads(top, "dangling/key", "../real/dangling")
        file(top, "real/hard")
        (top / "hard").mkdir()
        os.link(top / "real/hard", top / "hard/key")
        file(top, "real/dir/key")
        file(top, "real/dir/other")
        leads(top, "moved", "real/dir")
        file(top, "real/deep/in/key")
        leads(top, "through", "side/deep/in")
        leads(top, "side", "real")
        file(top, "free/file")

    FILES = ("plain/key", "plain/sub/key", "real/linked", "real/chained", "real/hard", "real/dir/key", "real/dir/other", "real/deep/in/key",
             "linked/key", "chained/key", "hop", "hard/key", "moved/key", "moved/other", "through/key", "side/linked", "free/file")
    NEW = ("plain/new", "plain/sub/new", "real/dangling", "real/new", "real/dir/new", "real/deep/new", "moved/new", "through/new", "free/new")
    DIRECTORIES = ("plain", "plain/sub", "real", "real/dir", "moved", "through", "free")
    # What explain follows, these do not: only where there is no link.
    OWN = ("plain/key", "plain/sub/key", "real/linked", "real/chained", "real/dir/key", "real/dir/other", "real/deep/in/key", "free/file")
    ACTS = ([("listing", path) for path in DIRECTORIES] + [("read", path) for path in FILES] +
            [(act, path) for path in FILES for act in ("append", "truncate", "chmod")] + [("create", path) for path in NEW] +
            [("replace", path) for path in OWN])

    def agree(self, section, form):
        rule = form.replace("%s", "{" + ",".join(PLACES) + "}") if "%s" in form else form
        shutil.rmtree(self.outside / "ws", ignore_errors=True)
        for entry in list(self.ws.iterdir()):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        _, results = self.both(self.build, self.ACTS, files={section: [rule]})
        wrong = []
        for said, (act, path, outside, inside) in zip(self.explained, results):
            if outside != "ok":
                self.fail(f"{act} {path} proves nothing: {outside}")
            happened = inside == "ok"
            if happened != (said == "allow"):
                wrong.append(f"{section} {rule}: {act} {path}: explain says {said}, the run {inside}")
        return wrong, {(act, path): inside for act, path, _, inside in results}

    def test_explain_agrees_with_the_run(self):
        wrong = []
        for section in ("deny", "protect", "keep"):
            for form in FORMS:
                said, happened = self.agree(section, form)
                wrong += said
                if form != "${workspace}/%s/key":
                    continue
                # The other way round: each of the files is guarded by the name that the rule gives, whatever its own is.
                for path in ("plain/key", "real/linked", "real/chained", "real/hard", "real/dir/key", "real/deep/in/key"):
                    for act in ("append", "truncate", "chmod") + (("read",) if section == "deny" else ()):
                        if happened[act, path] == "ok":
                            wrong.append(f"{section} {form}: {act} {path} happened")
                if section != "keep" and happened["create", "real/dangling"] == "ok":
                    wrong.append(f"{section} {form}: what a link leads to was made")
        self.assertFalse(wrong, "\n".join(wrong[:40]))

    def test_denied_below_can_be_listed(self):
        """files.deny of files below a directory leaves the directory itself (anthropics/claude-code#17727)."""
        file(self.ws, "d/key", "secret")
        file(self.ws, "d/sub/key", "secret")
        self.scratch.write_profile(files={"deny": ["${workspace}/d/**"]})
        run = self.inside("sh", "-c", "ls d; cat d/key d/sub/key; ls d/sub; echo n > d/new")
        self.assertEqual(run.text.split(), ["key", "sub"], str(run))
        self.assertFalse((self.ws / "d/new").exists())

    def test_secrets_by_second_names(self):
        """A read denial, with the default reads and with claimed ones: masks and broker."""
        file(self.ws, "conf/real", "secret")
        leads(self.ws, ".env", "conf/real")
        file(self.ws, "conf/hard", "secret")
        (self.ws / "sub").mkdir()
        os.link(self.ws / "conf/hard", self.ws / "sub/.env")
        file(self.ws, "conf/dir/a", "secret")
        leads(self.ws, "far/.env", "../conf/dir")
        for audit in ({}, {"audit": {"reads": "claimed"}}):
            self.scratch.write_profile(files={"deny": ["**/.env"]}, **audit)
            run = self.inside("sh", "-c", "for f in .env conf/real conf/hard sub/.env far/.env/a conf/dir/a; do cat $f; done; cp conf/real x; cat x; echo evil >> conf/real")
            self.assertNotIn("secret", run.text, str(run))
            self.assertEqual((self.ws / "conf/real").read_text(), "secret")


class Folding(Case):
    """K1: on a file system that takes .GIT for .git, a guarded name is guarded in every spelling."""

    THERE = [".git/config", ".git/HEAD", ".mcp.json", "src/a", "src/readme"]
    SPELLED = [("append", ".GIT/Config"), ("append", ".git./config "), ("append", ".MCP.json"), ("create", ".Envrc"), ("create", ".envrc."),
               ("create", ".v\u017fcode"), ("mkdir", ".VSCODE"), ("create", ".git/HOOKS/pre-commit"), ("replace", ".Mcp.JSON"), ("remove", ".mcp.JSON")]
    FREE = [("append", "SRC/A"), ("create", "src/New"), ("create", "Readme")]

    def test_every_spelling(self):
        self.list.write_text(json.dumps(self.SPELLED + self.FREE))
        self.scratch.write_profile(extends=["debian", "host-exec"])
        def beside(*command):
            env = {**self.scratch.environment, "FOLDING_FILES": json.dumps(self.THERE)}
            words = ("unshare", "--mount", "--propagation", "private", "/usr/bin/python3", harness.TOP / "tests/lib/folding.py", self.ws, *command)
            return harness.run(words, env=env, cwd=self.outside)
        control = beside("sh", "-c", f"mkdir {self.ws}/.git/hooks && exec /usr/bin/python3 {self.probe} {self.ws} {self.list}")
        if control.status != 0 and not control.text:
            print(f"     {self.id()}: no such file system can be made here: {control.errors.strip() or '/dev/fuse'}", flush=True)
            self.assertFalse(harness.IS_ROOT and os.path.exists("/dev/fuse"), str(control))
            return
        run = beside(harness.AGENT_RUN, "-p", self.scratch.profile_file, "--", "/usr/bin/python3", self.probe, self.ws, self.list)
        self.assertEqual(run.status, 0, str(run))
        results = [(*act, *got) for act, *got in zip(self.SPELLED + self.FREE, json.loads(control.text), json.loads(run.text))]
        guarded = len(self.SPELLED)
        wrong = [result for result in results[:guarded] if result[2] != "ok" or result[3] not in DENIED | {"ENOENT"}]
        self.assertFalse(wrong)
        self.assert_allowed(results[guarded:])


class BesideWhatIsMasked(harness.Case):
    """The state directory is masked and lies in a grant: the search for links goes around it and reports nothing."""

    def test_state_directory_in_a_grant(self):
        state = self.scratch.state
        (state / "zz").mkdir()
        for name in ("a", "b"):  # the first makes the state directory
            target = state / f"target-{name}"
            target.write_text("as it was")
            link = state / "zz" / "guarded"
            link.unlink(missing_ok=True)
            link.symlink_to(target)
            self.scratch.write_profile(files={"write": [str(state)], "protect": [str(link)]})
            run = self.inside("sh", "-c", f"echo x > {state}/free; echo x > {target}")
            self.assertNotIn("not all followed", run.errors)
            self.assertEqual(target.read_text(), "as it was", str(run))
            self.assertTrue((state / "free").exists(), f"the control: {run}")
            self.assertTrue((state / "agent-run").is_dir())
