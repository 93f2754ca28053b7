"""Names that a connection sends after its first bytes, or in ways that only some servers read (attacks.md N4, K7):
outside, a real server serves each name; inside, none does."""

import os
import textwrap

import harness
from network_case import PUBLIC, NetworkCase

# The library itself: Python's own module does not change the name between two hellos.
CLIENT = """
import select
libssl = ctypes.CDLL("libssl.so.3")
for function in ("TLS_client_method", "SSL_CTX_new", "SSL_new"): getattr(libssl, function).restype = ctypes.c_void_p
def hello(context, name):
    session = ctypes.c_void_p(libssl.SSL_new(ctypes.c_void_p(context)))
    rename(session, name)
    return session
def rename(session, name): assert libssl.SSL_ctrl(session, 55, 0, name.encode()) == 1
def context(groups):
    made = libssl.SSL_CTX_new(ctypes.c_void_p(libssl.TLS_client_method()))
    assert libssl.SSL_CTX_ctrl(ctypes.c_void_p(made), 92, 0, groups.encode()) == 1
    return made
def finish(session, s, end):
    while libssl.SSL_connect(session) != 1:
        if not select.select([s], [], [], max(0, end - time.monotonic()))[0]: raise socket.timeout()
        if not s.recv(1, socket.MSG_PEEK): raise ConnectionResetError(errno.ECONNRESET, "closed")
    text = ctypes.create_string_buffer(100)
    while libssl.SSL_read(session, text, 99) <= 0:
        if not select.select([s], [], [], max(0, end - time.monotonic()))[0]: raise socket.timeout()
    return text.value.decode().strip().replace(" ", "-")
def bent(host, port, name, change=lambda hello: hello, then=None):
    # The first flight is changed on its way; the name for the next one, when the server asks for it, is `then`.
    near, far = socket.socketpair()
    with socket.create_connection((host, port), timeout=5) as s, near, far:
        near.setblocking(False)
        session = hello(context("X25519:P-384"), name)
        libssl.SSL_set_fd(session, near.fileno())
        assert libssl.SSL_connect(session) != 1
        if then: rename(session, then)
        s.sendall(change(far.recv(16384)))
        def pump(one, other):
            try:
                while True:
                    piece = one.recv(16384)
                    if not piece: break
                    other.sendall(piece)
            except OSError: pass
            try: other.shutdown(socket.SHUT_WR)
            except OSError: pass
        for pair in ((s, far), (far, s)): threading.Thread(target=pump, args=pair, daemon=True).start()
        return finish(session, near, time.monotonic() + 5)
def asked(host, port, pieces):
    with socket.create_connection((host, port), timeout=5) as s:
        for piece in pieces:
            s.sendall(piece)
            time.sleep(0.02)
        text = b""
        while True:
            piece = s.recv(4096)
            if not piece: break
            text += piece
        if b"this is" not in text: raise ConnectionRefusedError(errno.ECONNREFUSED, "not served")
        return text[text.index(b"this is"):].decode().strip().replace(" ", "-")
"""


class NamesSaid(NetworkCase):
    """The same world, with servers that distinguish names."""

    def script(self, text):
        return super().script(CLIENT + textwrap.dedent(text))

    def pair(self):
        files = [str(self.scratch.base / name) for name in ("pair.pem", "pair.key")]
        made = harness.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=t",
                            "-out", files[0], "-keyout", files[1]])
        self.assertEqual(made.status, 0, str(made))
        return files

    def check(self, script, ports, **world):
        """Every act works outside; inside only those whose name begins with "good"."""
        self.profile([f"ok.test:{port}" for port in ports])
        control, run = harness.acts(self.bare(script, **world)), self.within(script, **world)
        self.assertTrue(control and all(got.worked for got in control.values()), f"proves nothing: {control}")
        got = harness.acts(run)
        self.assertEqual(set(got), set(control), str(run))
        self.assertEqual({name for name, act in got.items() if act.worked}, {name for name in control if name.startswith("good")}, str(run))
        self.assert_complete(run)
        return run

    def test_second_hello(self):
        """A server that asks for another ClientHello serves the name in the second one; also on 443."""
        world = {"tls": [[PUBLIC, port] for port in (443, 8443)], "pair": self.pair()}
        run = self.check("""
            for port in (443, 8443):
                act(f"good-{port}", lambda: bent("ok.test", port, "ok.test", then="OK.test"))
                act(f"other-{port}", lambda: bent("ok.test", port, "ok.test", then="evil.test"))
        """, (443, 8443), **world)
        self.assertEqual({name.lower() for name in run.seen["tls"]}, {"ok.test"}, str(run))
        refused = [r for r in run.journal() if r.get("type") == "net.close" and r.get("end") == "refused"]
        self.assertEqual({r["reason"] for r in refused}, {"another server name: evil.test"}, str(run))

    def test_record_versions(self):
        """Go reads a ClientHello in records of any version up to 15, and skips warnings before it."""
        server, pair = self.scratch.base / "tls_server", self.pair()
        built = harness.run(["go", "build", "-o", server, harness.TOP / "tests/e2e/interop/tls_server.go"], timeout=300,
                            env={**self.scratch.environment, "GOCACHE": os.environ.get("GOCACHE", str(harness.BASE / "go-cache")), "GO111MODULE": "off"})
        self.assertEqual(built.status, 0, str(built))
        run = self.check("""
            act("good", lambda: bent("ok.test", 8443, "ok.test"))
            for major in (4, 15):
                act(f"major-{major}", lambda: bent("ok.test", 8443, "evil.test", lambda hello: hello[:1] + bytes([major]) + hello[2:]))
                act(f"warning-{major}", lambda: bent("ok.test", 8443, "evil.test", lambda hello: bytes([21, major, 1, 0, 2, 1, 90]) + hello))
        """, (8443,), commands=[[str(server), *pair, f"{PUBLIC}:8443"]], awaited=[[PUBLIC, 8443]])
        self.assertEqual(len([r for r in run.journal() if r.get("type") == "net.close" and r.get("end") == "refused"]), 4, str(run))

    def test_lenient_requests(self):
        """Python's web server accepts any word as a method. A line that arrives in pieces is inspected while it is
        passed on."""
        run = self.check(r"""
            rest = b" / HTTP/1.1\r\nHost: evil.test\r\n\r\n"
            act("good", lambda: asked("ok.test", 8080, [b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n"]))
            for number, method in enumerate((b"@GET", b"(GET", b"\0GET", b'G"T', b"\xffGET", b"\x16\x04GET")):
                act(f"whole-{number}", lambda: asked("ok.test", 8080, [method + rest]))
                act(f"pieces-{number}", lambda: asked("ok.test", 8080, [method, rest[:5], rest[5:]]))
        """, (8080,), wsgi=[[PUBLIC, 8080]])
        self.assertEqual(run.seen["wsgi"], {"ok.test": 1}, str(run))

    def test_requests_of_other_protocols(self):
        """Node's web server accepts request lines of RTSP, Icecast sources and HTTP/0.9, and reads the headers that
        follow."""
        program = ('require("http").createServer((q, r) => r.end(`this is ${q.headers.host}\\n`))'
                   '.listen(+process.argv[2], process.argv[1])')
        run = self.check(r"""
            rest = b"\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
            act("good", lambda: asked("ok.test", 8080, [b"GET / HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n"]))
            for number, line in enumerate((b"GET / RTSP/1.1", b"POST /  RTSP/1.0", b"DESCRIBE rtsp://ok.test/ RTSP/2.0", b"SOURCE / ICE/1.1",
                                           b"PUT /", b"M-SEARCH *", b"SETUP http://ok.test/")):
                act(f"whole-{number}", lambda: asked("ok.test", 8080, [line + rest]))
                act(f"pieces-{number}", lambda: asked("ok.test", 8080, [line[:3], line[3:9], line[9:] + rest]))
        """, (8080,), commands=[["node", "-e", program, PUBLIC, "8080"]], awaited=[[PUBLIC, 8080]])
        refused = [r for r in run.journal() if r.get("type") == "net.close" and r.get("end") == "refused"]
        self.assertEqual({r["reason"] for r in refused}, {"a request that is not HTTP/1.1 or HTTP/1.0"}, str(run))
