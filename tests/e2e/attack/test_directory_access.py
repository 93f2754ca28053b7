"""F2, F7, K1: a directory that holds guarded names is neither closed to its owner nor opened to others, in any spelling; and a
directory that cannot be listed moves only where nothing guarded can be in it."""

import json
import os

import harness

# Each [act, directory, mode] of a JSON file below a directory; the errno's name or "ok", and the mode after it.
PROBE = """
import ctypes, errno, json, os, struct, sys
top, acts = sys.argv[1], json.load(open(sys.argv[2]))
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(w) if isinstance(w, int) else w for w in words]) < 0:
        raise OSError(ctypes.get_errno(), "call")
def opened(path, flags): return os.open(path, flags | os.O_DIRECTORY)
def acl(mode, *more):  # acl(5); tags: owner, named user, group, mask, others
    entries = [(1, mode >> 6, -1), *more, (4, mode >> 3 & 7, -1)] + ([(16, 7, -1)] if more else []) + [(32, mode & 7, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", tag, rights, who) for tag, rights, who in entries)
def chmod(p, m): os.chmod(p, m)
def dotted(p, m): os.chmod(p + "/../" + os.path.basename(os.path.realpath(p)) + "/.", m)
def fchmod(p, m): os.fchmod(opened(p, os.O_RDONLY), m)
def fchmodat(p, m): call(268, opened(os.path.dirname(p), os.O_PATH), os.path.basename(p).encode(), m)
def fchmodat2(p, m): call(452, opened(p, os.O_PATH), b"", m, 0x1000)
def proc(p, m): os.chmod("/proc/self/fd/%d" % opened(p, os.O_PATH), m)
def cwd(p, m): os.chdir(p); os.chmod(".", m)
def link(p, m): os.symlink(p, top + "/to"); os.chmod(top + "/to", m)
def list_(p, m): os.setxattr(p, "system.posix_acl_access", acl(m))
def flist(p, m): os.setxattr(opened(p, os.O_RDONLY), "system.posix_acl_access", acl(m))
def named(p, m): os.setxattr(p, "system.posix_acl_access", acl(m, (2, 7, os.getuid())))
def default(p, m): os.setxattr(p, "system.posix_acl_default", acl(m))
def undo_none(p, m):
    try: os.removexattr(p, "system.posix_acl_access")
    except OSError as e:
        if e.errno != errno.ENODATA: raise
def owner(p, m): os.chown(p, os.getuid(), os.getgid())
def user(p, m): os.setxattr(p, "user.any", b"1")
out = []
for act, path, mode in acts:
    path = os.path.join(top, path)
    real = os.path.realpath(path)
    child = os.fork()
    if child == 0:
        try: globals()[act](path, mode)
        except OSError as e: os._exit(e.errno)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out.append("ok" if status == 0 else errno.errorcode[status])
    try: os.chmod(real, 0o755)
    except OSError: pass
    if os.path.islink(top + "/to"): os.unlink(top + "/to")
    try: os.removexattr(real, "system.posix_acl_default")
    except OSError: pass
    try: os.removexattr(real, "system.posix_acl_access")
    except OSError: pass
print(json.dumps(out))
"""
MODES = ("chmod", "dotted", "fchmod", "fchmodat", "fchmodat2", "proc", "cwd", "link", "list_", "flist")
HOLDING = (".", ".git", ".git/hooks", "sub/.git")


def build(top):
    for name in ("hooks", "refs"):
        (top / ".git" / name).mkdir(parents=True)
    (top / ".git/hooks/pre-commit").write_text("#!/bin/sh\n")
    (top / ".git/config").write_text("[core]\n")
    (top / "sub/.git").mkdir(parents=True)
    (top / "sub/.git/config").write_text("[core]\n")
    (top / ".cargo").mkdir()
    (top / "plain/below").mkdir(parents=True)
    for directory, _, _ in os.walk(top):
        os.chmod(directory, 0o755)


class Access(harness.Case):
    def both(self, acts):
        copy = self.outside / "ws"
        copy.mkdir()
        probe, listed = self.tools / "probe.py", self.tools / "acts.json"
        probe.write_text(PROBE)
        listed.write_text(json.dumps(acts))
        for top in (copy, self.ws):
            build(top)
        control = self.control("/usr/bin/python3", probe, copy, listed)
        self.assertEqual(control.status, 0, str(control))
        self.scratch.write_profile(extends=["debian", "host-exec"])
        run = self.inside("/usr/bin/python3", probe, self.ws, listed)
        self.assert_ran(run)
        self.assert_complete(run)
        return run, list(zip(acts, json.loads(control.text), json.loads(run.text)))

    def test_f2_closed_or_opened(self):
        acts = [(act, path, mode) for act in MODES for path in HOLDING for mode in (0o355, 0o655, 0o775, 0o757)]
        acts += [(act, path, 0o755) for act in ("named", "default") for path in HOLDING]
        acts += [("chmod", ".cargo", 0o775)]
        run, results = self.both(acts)
        lacks = {act for act, outside, _ in results if outside in ("ENOSYS", "EOPNOTSUPP")}  # an older kernel, no lists
        self.assertFalse({act for act, *_ in lacks} & {"chmod", "fchmod", "fchmodat", "proc"})
        wrong = [result for result in results if result[0] not in lacks and result[1:] != ("ok", "EACCES")]
        self.assertFalse(wrong)
        self.assertEqual({oct((self.ws / path).stat().st_mode & 0o7777) for path in (*HOLDING, ".cargo")}, {"0o755"})
        denied = run.decisions(act="deny", path=str(self.ws / ".git/hooks"))
        self.assertTrue(all(record.get("rule", "").startswith("git-safe:") and "outside agent-run" in record["remedy"] for record in denied), str(denied[:1]))
        self.assertIn(str(self.ws / ".git/hooks/pre-commit"), {record.get("stands_for") for record in denied})
        self.assertIn(f"as it holds {self.ws}/.git/hooks/pre-commit", self.scratch.agent_run("why", run.id).text)
        explained = self.scratch.agent_run("explain", "-p", self.scratch.profile_file, "--write", self.ws / ".git/refs", "--write", self.ws / ".git").text
        self.assertIn("while it holds something guarded", explained)

    def test_f7_what_programs_do(self):
        """What takes and gives nothing goes on, and so does everything where nothing is guarded."""
        acts = [(act, path, mode) for act in MODES for path in HOLDING for mode in (0o755, 0o700, 0o750)]
        acts += [(act, path, mode) for act in MODES for path in ("plain", "plain/below", ".git/refs") for mode in (0o355, 0o777, 0o755)]
        acts += [(act, path, 0o755) for act in ("undo_none", "owner", "user") for path in HOLDING]
        _, results = self.both(acts)
        wrong = [result for result in results if result[1] != result[2]]
        self.assertFalse(wrong)
        self.assertIn("ok", {outside for _, outside, _ in results})

    def test_new_directories(self):
        self.scratch.write_profile(extends=["debian", "host-exec"])
        script = ("umask 022; git init -q --shared new && mkdir -p n2/.git/hooks && chmod 777 n2/.git && cp -a new copy && cp -a new/. copy &&"
                  "tar cf t.tar new && mkdir ex && tar xpf t.tar -C ex && echo done")
        run = self.inside("sh", "-c", script)
        self.assertEqual(run.text, "done\n", str(run))
        self.assertTrue((self.ws / "new/.git").stat().st_mode & 0o020)


class Unlisted(harness.Case):
    def modes(self, mode):
        return f"mkdir -p s{mode}/t s{mode}/u && chmod {mode} s{mode}/t && mv s{mode} m{mode}; mkdir t{mode} && chmod {mode} t{mode} && mv t{mode} n{mode}"

    def tearDown(self):
        for directory, names, _ in os.walk(self.scratch.base):
            for name in names:
                os.chmod(os.path.join(directory, name), 0o700)
        super().tearDown()

    def test_directories_of_the_run(self):
        script = "; ".join(self.modes(mode) for mode in ("0", "111", "333", "444")) + "; ls -d [mn]*"
        self.scratch.write_profile(extends=["debian", "host-exec"])
        want = sorted(kind + mode for kind in "mn" for mode in ("0", "111", "333", "444"))
        # mv(1) opens a directory of mode 444 to look whether it is a mount point, and says so; it moves it all the same.
        control = self.control("sh", "-c", script, cwd=self.outside)
        self.assertEqual(sorted(control.text.split()), want, str(control))
        run = self.inside("sh", "-c", script)
        self.assertEqual(sorted(run.text.split()), want, str(run))

    def test_what_cannot_be_known(self):
        """Of before the run; and where the new place has a rule that the old one has not."""
        (self.ws / "old/t").mkdir(parents=True)
        os.chmod(self.ws / "old/t", 0)
        (self.ws / "shut").mkdir()
        self.scratch.write_profile(extends=["debian"], files={"protect": ["**/to/name", "**/.git/hooks/**"]})
        script = ("python3 -I -c 'import os; os.rename(\"old\", \"new\")'; mkdir -p s; touch s/name; chmod 111 s;"
                  "python3 -I -c 'import os; os.rename(\"s\", \"to\")'; python3 -I -c 'import os; os.rename(\"s\", \"elsewhere\")'")
        run = self.inside("sh", "-c", script)
        if not harness.IS_ROOT:
            self.assertEqual(sorted(os.listdir(self.ws)), ["elsewhere", "old", "shut"], str(run))
            denied = run.decisions(act="deny", by="fail")
            self.assertEqual({record["path"] for record in denied}, {str(self.ws / "old/t"), str(self.ws / "s")})
            self.assertTrue(all("chmod u+rx" in record["remedy"] for record in denied))
            self.assertIn("could not be told", self.scratch.agent_run("why", run.id).text)
