"""A running JupyterLab for tests, started as `tracelake serve` starts it.

Takes   a data folder.
Gives   the process of `lab_for` while it answers; gone afterwards, and its log in a file.
Refuses nothing.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from notebooks.jupyter import Lab, lab_for

READY_S = 90


@dataclass(frozen=True, slots=True)
class RunningLab:
    """JupyterLab that answers."""

    lab: Lab
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def origin(self) -> str:
        return self.lab.url.partition("/lab")[0]

    @property
    def token(self) -> str:
        return self.lab.url.partition("token=")[2]

    def get(self, path: str, *, token: str = "", host: str = "") -> httpx.Response:
        """The answer to a GET, redirects not followed."""
        headers = ({"Authorization": f"token {token}"} if token else {}) | ({"Host": host} if host else {})
        return httpx.get(self.origin + path, headers=headers, timeout=30)


@contextmanager
def running_lab(data: Path, environment: Mapping[str, str] | None = None) -> Iterator[RunningLab]:
    """JupyterLab over a data folder.

    Args:
        environment: of whoever starts it.
    """
    lab = lab_for(data)
    path = data / "lab.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            lab.argv, env=os.environ | dict(environment or {}) | dict(lab.environment), stdout=log, stderr=log
        )
    running = RunningLab(lab, process, path)
    try:
        _wait_until_it_answers(running)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_answers(running: RunningLab) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            running.get("/api")
            return
        except httpx.TransportError:
            assert running.process.poll() is None, running.log.read_text()
            assert time.monotonic() < deadline, running.log.read_text()
            time.sleep(0.1)
