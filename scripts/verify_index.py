"""The part of scripts/verify-journal that reads the index of all runs (--state) and checks that each run in it is present, verifies and
is the recorded one. Written from agent-run-journal(5) alone."""
import functools, json, os, pathlib, re, types

RETENTION = 200 * 86400 * 10**9  # ns
UNSIGNED = 1 << 20  # bytes that a process may leave unsigned when it dies


RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


def is_directory(path):
    """True for a directory, not for a link to one."""
    return path.is_dir() and not path.is_symlink()


def index_of(core):
    """The class Index, derived from the classes of `core` (verify-journal)."""
    Found, Journal, Note, claim, require, unbase64, valid, vkey = (getattr(core, name) for name in (
        "Found", "Journal", "Note", "claim", "require", "unbase64", "valid", "vkey"))

    class Index(Journal):
        def proves(self, record):
            """Whether an unsigned record of an index proves itself, by the certificate of its run or by the closing note."""
            mine, closing = (record["origin"], self.identity[1]), record["type"] == "run.close"
            text = record["checkpoint"] if closing else record.get("certificate") or \
                self.certificate_in(self.runs / record["run"]).decode()
            note = Note(text.encode())
            said = note.head == (record["origin"], int(record["size"]), unbase64(record["root"])) if closing else note.lines[1:3] == [record["origin"], record["vkey"]]
            return said and note.by(mine) and record["type"] in ("run.open", "run.close") and "index_before" not in record

        def take(self, signed, line):
            """Adds one record of an index to what is known about its run."""
            record = json.loads(line)
            run = record["run"]
            require(int(record["t"]) >= 0 and run not in ("", ".", "..") and "/" not in run and record["origin"] == self.prefix + run and (signed or self.proves(record)))
            self.known.setdefault(run, {}).setdefault(record["type"], record)
            self.anchors = self.anchors + ([(Note(record["index_before"].encode()), f"run {run}")] if "index_before" in record else [])

        def end(self, run):
            """(records, root) of a run at its end, according to the index; None if it has no end."""
            return valid(lambda said: (int(said["size"]), unbase64(said["root"])), self.known[run].get("run.close") or self.known[run].get("journal.recovered"))

        def judge(self, run, said):
            """Checks a run that the index knows: it must be present, verify, and be the recorded one."""
            at, end, journal = {kind: int(record["t"]) for kind, record in said.items()}, self.end(run), Journal(self.runs / run, self.keys, [])
            there, began = is_directory(journal.directory), max(at.get("run.open", 0), at.get("run.close", 0))
            claim(there or at.get("run.missing", 0) - began >= RETENTION, "V6", "index", "it knows the run, which is missing")
            journal.anchors = [(types.SimpleNamespace(head=(self.prefix + run, *end)), "index")] if end else []
            try:
                journal.verify() if there else None
            except Found as found:
                pruned = found.args[2] == "kept" and "run.close" in said and at.get("run.pruned", 0) - began >= RETENTION - 60 * 10**9
                pruned = pruned and (journal.read("checkpoint") or b"").decode() == said["run.close"]["checkpoint"]
                claim(found.args[0] == "INCOMPLETE" and (pruned or "run.close" not in said), *found.args[1:],
                      "TRUNCATED" if found.args[0] == "INCOMPLETE" and not journal.tree.size else found.args[0])
            same = not there or "run.open" not in said or [vkey(said["run.open"]["vkey"])] == journal.epoch_keys[:1]
            claim(same and "fault" not in said.get("journal.recovered", {}), "V6", "index", "it has another key of epoch 0, or found the run damaged")
            before = (journal.before or {}).get("origin", self.prefix)[len(self.prefix):]
            known = before in self.known and self.end(before) in (None, (int(journal.before["size"]), bytes.fromhex(journal.before["root"])))
            claim(not before or known, "V6", f"run {before}", "the next run names it, but the index has no such end of it")

        def bounded(self, signed):
            """The records; a fault when more of them are unsigned than a process can leave."""
            left = UNSIGNED
            for number, line in enumerate(self.lines()):
                left -= len(line) + 1 if number >= signed else 0
                claim(left >= 0, "V7", "index", "more unsigned records than a process can leave")
                yield line

        def strangers(self, name, public):
            """Checks a directory of `runs` that the index does not know, by its certificate."""
            directory = self.runs / name
            note = valid(lambda data: Note(data), self.certificate_in(directory))
            ours = note and note.lines[1].startswith(self.prefix) and note.by((note.lines[1], public))
            claim(not ours or note.lines[1] == self.prefix + name, "V6", f"run {name}", "the index does not know it, and it is a copy")
            entries = directory / "entries.000000.jsonl"
            began = os.path.lexists(directory / "checkpoint") or os.path.lexists(entries) and entries.lstat().st_size
            claim(not ours or not began, "V6", f"run {name}", "the index does not know it")

        def certificate_in(self, directory):
            try:
                return core.verify_records.open_regular(directory / "keycert").read((1 << 16) + 1)
            except OSError:  # a pipe, a link: not a certificate
                return b""

        def verify(self):
            """Verifies the index: the identity alone signs it; every run in it must be present, and every run must be in it."""
            claim(is_directory(self.directory) or not self.directory.is_symlink() and not self.directory.exists(), "V7", "index", "not a directory")
            os.listdir(self.directory)  # OSError when it is missing
            os.listdir(self.directory.parent / "runs") if os.path.lexists(self.directory.parent / "runs") else None
            newest, self.runs, self.known = valid(Note, self.read("checkpoint", 1 << 16) or b""), self.directory.parent / "runs", {}
            claim(newest, "V7", "checkpoint", "not a signed note")
            self.prefix, public = self.owner(newest, "checkpoint")
            self.origin, self.identity = self.prefix + "index", (self.prefix + "index", public)
            (note, where), self.epoch_keys, lines = self.notes("checkpoint", alone=True)[0], [self.identity], []
            lines += self.bounded(note.head[1])
            self.lines = lambda: iter(lines)
            self.records(range(len(lines) + 1))
            self.checked(note, where, 0)
            for number, line in enumerate(lines):
                valid(functools.partial(self.take, number < self.signed), line)
            self.compare([(n, w) for n, w in [*self.stamps(), *self.anchors] if n.head and n.head[0] == self.origin])
            broken = valid(lambda line: pathlib.Path(json.loads(line)["broken"]).name, lines[0] if lines else b"")
            claim(not broken or is_directory(self.directory.parent / broken), "V6", str(broken), "the index that was set aside is missing")
            for line in Journal(self.directory.parent / broken, [], []).lines() if broken else []:
                valid(functools.partial(self.take, False), line)
            claim(not (self.directory / "entries.000001.jsonl").exists(), "V7", "index", "it has a second segment")
            for run, said in sorted(self.known.items()):
                try:
                    self.judge(run, said)
                except Found as found:
                    raise Found(found.args[0], "V6", f"run {run}", " ".join(found.args[1:]))
                except OSError as error:
                    raise Found("TAMPERED", "V6", f"run {run}", f"cannot be read: {error.strerror}")
            for name in sorted(os.listdir(self.runs) if self.runs.is_dir() else []):
                self.strangers(name, public) if name not in self.known and RUN_ID.fullmatch(name) and is_directory(self.runs / name) else None
            claim(not broken and self.tree.size == self.signed and not self.torn, "V5", "end", f"unsigned records, or {broken} before", "INCOMPLETE")

    return Index
