"""Load: bodies over some keep-alive connections, as fast as they are answered."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Sent:
    """What came of it."""

    spans: int = 0
    latencies_s: list[float] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    """Answers other than 200, by status; the body was sent again."""


def send(url: str, key: str, requests: Iterable[tuple[bytes, int]], *, connections: int) -> Sent:
    """Send each body until it is answered with 200."""
    sender = _Sender(url, key, requests)
    threads = [threading.Thread(target=sender.run) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sender.sent


class _Sender:
    def __init__(self, url: str, key: str, requests: Iterable[tuple[bytes, int]]) -> None:
        self.sent = Sent()
        self._where = urlsplit(url)
        self._headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {key}"}
        self._requests = iter(requests)
        self._lock = threading.Lock()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._where.hostname or "", self._where.port, timeout=120)
        while (job := self._next()) is not None:
            body, spans = job
            while not self._answered(connection, body):
                pass
            with self._lock:
                self.sent.spans += spans

    def _next(self) -> tuple[bytes, int] | None:
        with self._lock:
            return next(self._requests, None)

    def _answered(self, connection: http.client.HTTPConnection, body: bytes) -> bool:
        start_s = time.perf_counter()
        connection.request("POST", self._where.path, body, self._headers)
        response = connection.getresponse()
        response.read()
        with self._lock:
            self.sent.latencies_s.append(time.perf_counter() - start_s)
            if response.status != http.HTTPStatus.OK:
                self.sent.refused[response.status] += 1
        if response.status == http.HTTPStatus.OK:
            return True
        time.sleep(float(response.headers.get("Retry-After", "0.1")))
        return False
