"""journal report: the page shows names that the agent chose, and obeys none of them."""

import base64
import hashlib
import html.parser
import json
import re
import shutil

import harness

HOSTILE = ["</script><script>document.title='owned'</script>", "<img src=x onerror=document.title='owned'>", "<!--<script>",
           "\u202egpj.exe", "\u2028line", "\x1b]0;owned\x07", "&lt;b&gt;", "'\"`${1}", "@DATA@"]


class Parts(html.parser.HTMLParser):
    """Elements with their attributes, and the texts of scripts."""

    def __init__(self):
        super().__init__()
        self.elements, self.scripts, self.inside = [], [], False

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


class Report(harness.Case):
    def report(self, *words):
        page = self.scratch.base / "report.html"
        result = self.scratch.agent_run("journal", "report", "-o", page, *words)
        return result, page

    def hostile_run(self):
        self.scratch.write_profile(files={"deny": [f"{self.ws}/denied"]})
        names = [name.replace("/", "\u2215") for name in HOSTILE]
        script = "for name; do : > \"$name\"; cat \"$name\"; mkdir denied; done; exit 3"
        run = self.inside("/bin/sh", "-c", script, *["sh", *names])
        self.assert_ran(run, 3)
        return names

    def test_hostile_names(self):
        names = self.hostile_run()
        result, page = self.report()
        self.assertEqual(result.status, 0, str(result))
        self.assertIn("COMPLETE", result.text)
        self.assertEqual(page.stat().st_mode & 0o777, 0o600)
        text = page.read_text()
        parts = Parts()
        parts.feed(text)
        data, script = parts.scripts
        self.assertEqual([tag for tag, _ in parts.elements if tag in ("img", "iframe", "link", "object", "embed", "base")], [])
        for tag, attributes in parts.elements:
            for name in attributes:
                self.assertFalse(name.startswith("on") or name in ("src", "href", "style"), f"{tag} {name}")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = next(a["content"] for tag, a in parts.elements if a.get("http-equiv"))
        self.assertEqual(policy, f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'")
        self.assertNotIn("<", data)
        shown = json.loads(data)
        self.assertEqual(shown["verified"]["status"], "COMPLETE")
        paths = {record.get("path") for record in shown["records"]}
        for name in names:
            self.assertIn(f"{self.ws}/{name}", paths)
        self.assertEqual(shown["records"][-1]["exit"], 3)
        self.assertTrue([r for r in shown["records"] if r.get("act") == "deny" and r.get("remedy")])

    def test_in_a_browser(self):
        """A person sees a drawn page with its counts, and the title is the page's own."""
        self.hostile_run()
        _, page = self.report()
        browser = shutil.which("chromium")
        self.assertTrue(browser, "apt-get install chromium")
        home = self.scratch.base / "browser"
        for dark in ((), ("--force-dark-mode",)):
            got = harness.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={home}", *dark,
                               "--virtual-time-budget=4000", "--dump-dom", page.as_uri()], env={**self.scratch.environment, "HOME": str(home)}, timeout=60)
            self.assertRegex(got.text, r"<title>agent-run \d{8}T\d+-[0-9a-f]{8}</title>", str(got)[-1500:])
            drawn = re.sub(r'<script type="application/json".*?</script>', "", got.text, flags=re.S)
            self.assertNotIn("<img", drawn)
            self.assertIn("COMPLETE", drawn)
            self.assertIn(f"{self.ws}/denied", drawn)
            self.assertIn("&lt;/script&gt;", drawn.replace("\u2215", "/"))
            self.assertNotIn("\u202e", drawn)
            self.assertGreater(drawn.count("<rect"), 2)

    def test_tampered(self):
        """The page says so, and is drawn all the same."""
        self.hostile_run()
        run = next((self.scratch.state / "agent-run" / "runs").iterdir())
        entries = run / "entries.000000.jsonl"
        lines = entries.read_bytes().splitlines(keepends=True)
        lines[3] = b'{"type":["x"],"path":{"a":1},"t":7}\n'
        lines[4] = b"no record\n"
        entries.write_bytes(b"".join(lines))
        result, page = self.report()
        self.assertEqual(result.status, 1, str(result))
        shown = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S).group(1))
        self.assertEqual(shown["verified"]["status"], "TAMPERED")
        self.assertTrue(shown["verified"]["findings"])

    def test_usage(self):
        self.assertEqual(self.scratch.agent_run("journal", "report").status, 2)
        self.hostile_run()
        result, _ = self.report("nonsense")
        self.assertEqual(result.status, 2, str(result))
        result = self.scratch.agent_run("journal", "report", "-o", "/proc/nowhere/x")
        self.assertEqual(result.status, 2)
        self.assertIn("/proc/nowhere/x", result.errors)
        result = self.scratch.agent_run("journal", "report", "-o", "-")
        self.assertTrue(result.text.startswith("<!DOCTYPE html>"))

    def test_output_file(self):
        """An existing page is replaced and becomes private to this user; a link to a page is refused."""
        self.hostile_run()
        page = self.scratch.base / "report.html"
        page.write_text("x" * (1 << 22))
        page.chmod(0o644)
        result, _ = self.report()
        self.assertEqual((result.status, page.stat().st_mode & 0o777), (0, 0o600), str(result))
        self.assertTrue(page.read_text().startswith("<!DOCTYPE html>") and page.read_text().rstrip().endswith("</html>"))
        written = page.read_bytes()
        (self.scratch.base / "link.html").symlink_to(page)
        result = self.scratch.agent_run("journal", "report", "-o", self.scratch.base / "link.html")
        self.assertEqual((result.status, page.read_bytes()), (2, written), str(result))
