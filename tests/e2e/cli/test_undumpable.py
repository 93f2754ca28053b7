"""Programs that make themselves undumpable, as key agents do: their /proc belongs to root, but their calls work the
same."""

import harness

PROGRAM = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
os.mkdir("made", dir_fd=folder)
for name in ("file", "made/deep"):
    fd = os.open(name, os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=folder)
    os.write(fd, b"text")
    os.fchmod(fd, 0o600)
    os.close(fd)
os.rename("file", "made/file", src_dir_fd=folder, dst_dir_fd=folder)
os.chdir(sys.argv[1])
os.symlink("made", "link")
print(open("link/file").read(), sorted(os.listdir("made")), oct(os.stat("made/deep").st_mode))
try:
    os.open("guarded", os.O_WRONLY, dir_fd=folder)
except PermissionError as error:
    print(error.strerror)
"""


class Undumpable(harness.Case):
    def test_relative_names(self):
        results = []
        for reads in (None, "claimed", "exact"):
            folder = self.ws / f"folder-{reads}"
            folder.mkdir()
            (folder / "guarded").write_text("before")
            (folder / "guarded").chmod(0o400 if reads is None else 0o600)
            if reads is None:
                results.append(self.control("/usr/bin/python3", "-c", PROGRAM, folder).text.splitlines()[0])
                continue
            self.scratch.write_profile(files={"protect": ["**/guarded"]}, audit={"reads": reads})
            run = self.inside("/usr/bin/python3", "-c", PROGRAM, folder)
            self.assertEqual(run.status, 0, str(run))
            first, second = run.text.splitlines()
            results.append(first)
            self.assertEqual(second, "Permission denied")
            paths = [d.get("path") for d in run.decisions(act="deny")]
            self.assertIn(str(folder / "guarded"), paths)
            self.assert_complete(run)
        self.assertEqual(results[1:], results[:1] * 2)
