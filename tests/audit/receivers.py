"""National repositories as a node meets them, on real sockets: one that takes FHIR, one that takes syslog over TLS. Both can be away."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from isthmus.trust.issue import issue_authority, issue_node

PATIENCE_S = 20.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def wait_for(reached: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Authority, certificate and key of a receiver on this machine."""
    now, authority_key, key = datetime.now(UTC), generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    authority = issue_authority(authority_key, now)
    made = issue_node("AA", key.public_key(), authority, authority_key, now, now + timedelta(days=1))
    files = folder / "authority.pem", folder / "receiver.pem", folder / "receiver.key"
    files[0].write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[2].write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return files


class FhirReceiver:
    """Takes POST AuditEvent; `answer` says with which status."""

    def __init__(self, port: int) -> None:
        self.port, self.taken = port, list[dict[str, Any]]()
        self.answer: Callable[[dict[str, Any]], int] = lambda event: 201

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.answer(event) if self.path == "/fhir/AuditEvent" else 404
                if status < 300:
                    receiver.taken.append(event)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return None

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class SyslogReceiver:
    """Takes RFC 5425 frames. `deaf` accepts connections and cuts them once something was sent, without keeping it."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.taken, self.deaf = port, list[bytes](), False
        self.authority, certificate, key = certificates(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        listening = socket.create_server(("127.0.0.1", self.port))
        over = threading.Event()
        held: list[socket.socket] = []

        def serve() -> None:
            while not over.is_set():
                try:
                    plain, _ = listening.accept()
                    secured = self._context.wrap_socket(plain, server_side=True)
                except (OSError, ssl.SSLError):
                    continue
                held.append(secured)
                threading.Thread(target=self._read, args=(secured,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            listening.close()
            for one in held:
                one.close()
            thread.join()

    def _read(self, secured: ssl.SSLSocket) -> None:
        pending = b""
        with contextlib.suppress(OSError), secured:
            while got := secured.recv(65536):
                if self.deaf:
                    return
                pending += got
                while b" " in pending:
                    length, _, rest = pending.partition(b" ")
                    if len(rest) < int(length):
                        break
                    self.taken.append(rest[: int(length)])
                    pending = rest[int(length) :]
