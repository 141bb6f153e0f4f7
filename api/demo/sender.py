"""Sender: HTTP to a Tracelake, as a patient client.

Takes   the address of a server and an ingest key.
Gives   requests that were acknowledged. While the server says 503 they are sent again when it says, by urllib3.
Refuses anything else but success (`DemoError`).

Each request has an Idempotency-Key, so whatever is sent twice is counted once.
"""

from __future__ import annotations

from typing import Self

import orjson
import urllib3

from .reports import Report
from .state import DemoError

SPANS_PATH = "/ingest/v1/traces"
DEPLOYS_PATH = "/ingest/deploys"
ERROR_PATH = "/ingest/errors"
ERRORS_PATH = "/ingest/errors/batch"

_OVERLOAD_RETRIES = 600
"""With Retry-After: 2 these are 20 minutes, in which any backlog is compacted."""
LOST_RETRIES = 5
_TIMEOUT_S = 60


class Sender:
    """Connections to one server. Safe for use by several threads; a context manager."""

    def __init__(self, url: str, key: str, *, connections: int = 1, lost_retries: int = LOST_RETRIES) -> None:
        """
        Args:
            lost_retries: how often a request is sent again when there was no answer.
        """
        retries = urllib3.Retry(
            total=None,
            connect=lost_retries,
            read=lost_retries,
            status=_OVERLOAD_RETRIES,
            status_forcelist=(503,),
            allowed_methods=None,  # POST too: every request has an Idempotency-Key
            backoff_factor=0.2,
            raise_on_status=False,
        )
        self._pool = urllib3.connection_from_url(
            url, maxsize=connections, retries=retries, timeout=_TIMEOUT_S, headers={"Authorization": f"Bearer {key}"}
        )

    def post_spans(self, body: bytes, *, idempotency_key: str) -> None:
        """Send an OTLP request in protobuf.

        Raises:
            DemoError: it was not taken.
        """
        self._post(SPANS_PATH, body, "application/x-protobuf", idempotency_key)

    def post_json(self, path: str, content: Report, *, idempotency_key: str) -> None:
        """Send a report.

        Raises:
            DemoError: it was not taken.
        """
        self._post(path, orjson.dumps(content), "application/json", idempotency_key)

    def _post(self, path: str, body: bytes, content_type: str, idempotency_key: str) -> None:
        headers = {**self._pool.headers, "Content-Type": content_type, "Idempotency-Key": idempotency_key}
        try:
            response = self._pool.request("POST", path, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise DemoError(f"{path}: the server cannot be reached ({error}); see the log above") from error
        if not 200 <= response.status < 300:
            raise DemoError(f"{path} answered {response.status}: {response.data[:500].decode(errors='replace')}")

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
