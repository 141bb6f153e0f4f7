"""A hostile server: answers as it is told, byte for byte, and notes what it was asked.

Takes   one `Reply` for each request that will come; the last one serves all that follow.
Gives   its address, and the requests as they came.
Refuses nothing; it is the one that misbehaves.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Reply = Callable[["Conversation"], None]
"""Answers one request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Conversation(socketserver.StreamRequestHandler):
    """One request on a connection of its own."""

    def handle(self) -> None:
        head = self.rfile.readline().decode().split()
        if not head:
            return
        headers = dict(self._header_lines())
        body = self.rfile.read(int(headers.get("content-length", 0)))
        server: Any = self.server
        reply = server.hostile.next_reply(Asked(head[0], head[1], headers, body))
        try:
            reply(self)
        except (BrokenPipeError, ConnectionResetError):
            return  # whoever asked has gone, as it should from a server like this

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(":")
            yield name.lower(), value.strip()

    def send(self, content: bytes) -> None:
        self.wfile.write(content)
        self.wfile.flush()


@dataclass
class Hostile:
    """The server as a test sees it."""

    replies: list[Reply]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Set at the end: whoever makes a client wait stops then."""

    def next_reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def hostile(*replies: Reply) -> Iterator[Hostile]:
    """A server with these replies; gone afterwards."""
    told = Hostile(list(replies))
    with _Server(("127.0.0.1", 0), Conversation) as server:
        server.hostile = told  # type: ignore[attr-defined]  # how handlers find it
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told
        finally:
            told.released.set()
            server.shutdown()
            thread.join()


def says(status: int, content: Any = None, **headers: str) -> Reply:
    """A well-formed answer; `retry_after` is the header `retry-after`."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return raw(_head(status, headers | {"content-length": str(len(body))}) + body)


def refuses(status: int, code: str, **headers: str) -> Reply:
    """A refusal in the shape of the reference."""
    details = {"code": code, "message": f"refused: {code}", "param": "limit", "request_id": "req_0123456789"}
    return says(status, {"error": details}, **headers)


def raw(content: bytes) -> Reply:
    """These bytes, then the end of the connection."""
    return lambda conversation: conversation.send(content)


def endless(piece: bytes = b" " * 65536) -> Reply:
    """A body that never ends."""

    def reply(conversation: Conversation) -> None:
        conversation.send(_head(200, {"content-type": "application/json"}))
        while True:
            conversation.send(piece)

    return reply


def silent(conversation: Conversation) -> None:
    """Nothing at all, as long as the test runs."""
    server: Any = conversation.server
    server.hostile.released.wait()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode()
