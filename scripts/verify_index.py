"""The part of scripts/verify-journal that reads the index of all runs (--state), and of each run that it knows whether it is
there, holds, and is the one that is meant. Written from agent-run-journal(5) alone."""
import functools, itertools, json, pathlib, types

RETENTION = 200 * 86400 * 10**9  # ns


def index_of(core):
    """The class, on top of what `core` (verify-journal) has."""
    Found, Journal, Note, claim, require, unbase64, valid, vkey = (getattr(core, name) for name in (
        "Found", "Journal", "Note", "claim", "require", "unbase64", "valid", "vkey"))

    class Index(Journal):
        def proves(self, record):
            """Whether a record of an index that nobody signed proves itself: by the certificate of its run, or by the closing note."""
            mine, closing = (record["origin"], self.identity[1]), record["type"] == "run.close"
            text = record["checkpoint"] if closing else record.get("certificate") or \
                core.verify_records.open_regular(self.runs / record["run"] / "keycert").read().decode()
            note = Note(text.encode())
            said = note.head == (record["origin"], int(record["size"]), unbase64(record["root"])) if closing else note.lines[1:3] == [record["origin"], record["vkey"]]
            return said and note.by(mine) and record["type"] in ("run.open", "run.close") and "index_before" not in record

        def take(self, signed, line):
            """One record of an index: what it says of a run."""
            record = json.loads(line)
            run = record["run"]
            require(int(record["t"]) >= 0 and run not in ("", ".", "..") and "/" not in run and record["origin"] == self.prefix + run and (signed or self.proves(record)))
            self.known.setdefault(run, {}).setdefault(record["type"], record)
            self.anchors = self.anchors + ([(Note(record["index_before"].encode()), f"run {run}")] if "index_before" in record else [])

        def end(self, run):
            """(records, root) of a run when it ended, as the index has it; None when it has no end."""
            return valid(lambda said: (int(said["size"]), unbase64(said["root"])), self.known[run].get("run.close") or self.known[run].get("journal.recovered"))

        def judge(self, run, said):
            """A run that the index knows: whether it is there, holds, and is the one that was meant."""
            at, end, journal = {kind: int(record["t"]) for kind, record in said.items()}, self.end(run), Journal(self.runs / run, self.keys, [])
            there, began = journal.folder.is_dir(), max(at.get("run.open", 0), at.get("run.close", 0))
            claim(there or at.get("run.missing", 0) - began >= RETENTION, "V6", "index", "it knows the run, which is not there")
            journal.anchors = [(types.SimpleNamespace(head=(self.prefix + run, *end)), "index")] if end else []
            try:
                journal.verify() if there else None
            except Found as found:
                pruned = found.args[2] == "kept" and "run.close" in said and at.get("run.pruned", 0) - began >= RETENTION - 60 * 10**9
                pruned = pruned and (journal.read("checkpoint") or b"").decode() == said["run.close"]["checkpoint"]
                claim(found.args[0] == "INCOMPLETE" and (pruned or "run.close" not in said), *found.args[1:],
                      "TRUNCATED" if found.args[0] == "INCOMPLETE" and not journal.tree.size else found.args[0])
            same = not there or "run.open" not in said or [vkey(said["run.open"]["vkey"])] == journal.epoch_keys[:1]
            claim(same and "fault" not in said.get("journal.recovered", {}), "V6", "index", "it knows another key of epoch 0, or that it was damaged")
            before = (journal.before or {}).get("origin", self.prefix)[len(self.prefix):]
            known = before in self.known and self.end(before) in (None, (int(journal.before["size"]), bytes.fromhex(journal.before["root"])))
            claim(not before or known, "V6", f"run {before}", "it was before this one, and the index does not know that")

        def verify(self):
            """The journal of journals: the identity alone signs; every run that it names must be there, and every run must be named."""
            newest, self.runs, self.known = valid(Note, self.read("checkpoint") or b""), self.folder.parent / "runs", {}
            claim(newest, "V7", "checkpoint", "not a signed note")
            self.prefix, public = self.owner(newest, "checkpoint")
            self.origin, self.identity = self.prefix + "index", (self.prefix + "index", public)
            (note, where), self.epoch_keys, lines = self.notes("checkpoint", alone=True)[0], [self.identity], []
            lines += itertools.islice(self.lines(), note.head[1] + 10_000)  # more than that nobody left by dying
            self.lines = lambda: iter(lines)
            self.records(range(len(lines) + 1))
            self.checked(note, where, 0)
            for number, line in enumerate(lines):
                valid(functools.partial(self.take, number < self.signed), line)
            self.compare([(n, w) for n, w in self.anchors if n.head and n.head[0] == self.origin])
            broken = valid(lambda line: pathlib.Path(json.loads(line)["broken"]).name, lines[0] if lines else b"")
            claim(not broken or (self.folder.parent / broken).is_dir(), "V6", str(broken), "the index that was set aside is not there")
            for line in Journal(self.folder.parent / broken, [], []).lines() if broken else []:
                valid(functools.partial(self.take, False), line)
            claim(not (self.folder / "entries.000001.jsonl").exists(), "V7", "index", "it has one segment, here is another")
            for run, said in sorted(self.known.items()):
                try:
                    self.judge(run, said)
                except Found as found:
                    raise Found(found.args[0], "V6", f"run {run}", " ".join(found.args[1:]))
            for folder in sorted(self.runs.iterdir() if self.runs.is_dir() else []):
                note = valid(lambda name: Note(core.verify_records.open_regular(folder / name).read()), "keycert") if folder.name not in self.known else None
                ours = note and note.lines[1].startswith(self.prefix) and note.by((note.lines[1], public))
                claim(not ours or not (folder / "checkpoint").exists(), "V6", f"run {folder.name}", "the index does not know it")
            claim(not broken and self.tree.size == self.signed and not self.torn, "V5", "end", f"unsigned records, or {broken} before", "INCOMPLETE")

    return Index
