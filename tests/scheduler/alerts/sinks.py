"""Sinks: real servers that notifications arrive at.

`HttpSink` answers HTTP on a thread, `tls_files` makes what it needs for https, `MailSink` is an SMTP server (aiosmtpd). Each
keeps what came, in order, and does what it is told: answer with a status, or wait until it is let go.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers import free_port


@dataclass(frozen=True)
class Came:
    """A request that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class HttpSink:
    """An HTTP server on this machine; `with` it."""

    tls: ssl.SSLContext | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    came: list[Came] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    """Requests wait for it before they are answered."""
    arrived: threading.Event = field(default_factory=threading.Event)
    """That one has come."""
    connections: int = 0

    def __enter__(self) -> HttpSink:
        sink = self
        self.let_go.set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.came.append(Came(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                sink.arrived.set()
                assert sink.let_go.wait(60)
                self.send_response(sink.status)
                for name, value in sink.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sink.body)))
                self.end_headers()
                self.wfile.write(sink.body)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                """Nothing: what came is kept."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                sink.connections += 1
                return super().get_request()

            def handle_error(self, *_: object) -> None:
                """A client that hangs up is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"


def tls_files(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a host name that signs itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl, to make a certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, key


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@dataclass
class MailSink:
    """An SMTP server on this machine; `with` it."""

    tls: ssl.SSLContext | None = None
    """For STARTTLS, which it then insists on."""
    password: str | None = None
    """Of the user `tracelake`; asked for if given."""
    answer: str = "250 OK"
    """To a message."""
    refused: frozenset[str] = frozenset()
    """Recipients that it does not know."""
    came: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    """Recipients and message."""
    raw: list[bytes] = field(default_factory=list)

    def __enter__(self) -> MailSink:
        self._controller = Controller(
            self, hostname="127.0.0.1", port=free_port(), tls_context=self.tls, require_starttls=self.tls is not None,
            authenticator=self._authenticate if self.password else None, auth_required=self.password is not None,
        )  # fmt: skip
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        is_good = (data.login, data.password) == (b"tracelake", (self.password or "").encode())
        return AuthResult(success=is_good, handled=False)

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any) -> str:
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.raw.append(envelope.content)
            message = message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default)
            self.came.append((list(envelope.rcpt_tos), message))
        return self.answer

    @property
    def port(self) -> int:
        return int(self._controller.port)
