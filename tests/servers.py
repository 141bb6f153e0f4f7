"""Servers: a real `tracelake serve` of its own for a test.

Takes   a data folder, and settings as environment variables.
Gives   `Server`: its address, keys and lake; start, stop, kill, and start again on the same folder and port.
Refuses to pass for up while it does not answer: `wait_ready` fails with the end of the server's log.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from lake.control import FIRST_PROJECT, Control

DEADLINE_S = 60
"""Seconds after which a test gives up on something that should happen at once; generous, since it is no measurement."""

PROC = Path("/proc")


class Server:
    """Tracelake on one data folder: API workers and scheduler, without JupyterLab."""

    def __init__(
        self, data: Path, *, workers: int = 2, settings: Mapping[str, str] | None = None, argv: Sequence[str] | None = None
    ) -> None:
        """Make the folder, its first project and its keys; nothing runs yet.

        Args:
            settings: environment variables.
            argv: another command than `tracelake serve`; it finds address and folder in the environment too.
        """
        self.data = data.resolve()
        self.port = free_port()
        self.log = self.data.with_name(f"{self.data.name}.log")
        with Control(self.data) as control:
            control.create_first_project()
            self.ingest_key, self.live_key, self.test_key = (
                control.create_key(FIRST_PROJECT, kind).secret for kind in ("ingest", "live", "test")
            )
        self._argv = argv or [command(), "serve", "--no-lab"]
        # none of the settings that this machine may have for a Tracelake of its own
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACELAKE_")} | {
            "TRACELAKE_DATA": str(self.data),
            "TRACELAKE_HOST": "127.0.0.1",
            "TRACELAKE_PORT": str(self.port),
            "TRACELAKE_WORKERS": str(workers),
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []
        self.client = httpx.Client(base_url=self.url, timeout=DEADLINE_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lake(self) -> Path:
        """The folder of the live lake."""
        return self.data / FIRST_PROJECT / "live"

    @property
    def reading(self) -> dict[str, str]:
        """Headers of one who asks."""
        return {"Authorization": f"Bearer {self.live_key}"}

    @property
    def sending(self) -> dict[str, str]:
        """Headers of one who sends."""
        return {"Authorization": f"Bearer {self.ingest_key}"}

    def start(self) -> None:
        """Start it in a session of its own, so that no signal for the test reaches it."""
        self._process = self._run(self._argv)

    def start_scheduler(self) -> int:
        """Start one more scheduler on the same folder; returns its process."""
        self._others.append(self._run([sys.executable, "-m", "scheduler"]))
        return self._others[-1].pid

    def _run(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                argv, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self) -> None:
        """Return when the health check answers 200."""
        wait_until(self.is_ready, lambda: f"the server is not ready; the end of its log:\n{self.log_end()}")

    def is_ready(self) -> bool:
        """Whether the health check answers 200 now."""
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended; the end of its log:\n{self.log_end()}"
        try:
            return self.client.get("/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def processes(self, *words: str) -> list[int]:
        """Every process that works on the folder, the first started first; only those with all `words` in their command.

        Found by the environment, which all of them inherit: also those whose parent is gone. Linux only.
        """
        mark = f"TRACELAKE_DATA={self.data}".encode()
        found = [int(place.name) for place in PROC.iterdir() if place.name.isdigit() and mark in _items(place / "environ")]
        return sorted(pid for pid in found if {word.encode() for word in words} <= _items(PROC / str(pid) / "cmdline"))

    def kill(self, known: Sequence[int] = ()) -> None:
        """SIGKILL every process at once, as a power switch would.

        Args:
            known: processes found before, which saves the time to look for them.
        """
        killed: set[int] = set()
        left = known or self.processes()
        while left:
            for pid in left:
                send(pid, signal.SIGKILL)
            killed.update(left)
            left = self.processes()  # what was just being started
        self._wait()
        # an ending process loses its environment, by which it is found, before its files and its port
        wait_until(lambda: all(map(has_ended, killed)), lambda: f"of {killed} not all have ended")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask the command to stop; returns its exit code when it has ended."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._wait()

    def _wait(self) -> int:
        assert self._process is not None
        return [process.wait(DEADLINE_S) for process in (*self._others, self._process)][-1]

    def log_end(self) -> str:
        """The last lines that the processes wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:]) if self.log.exists() else ""

    def close(self) -> None:
        """Leave nothing running, whatever state it is in."""
        self.client.close()
        if self._process is None:
            return
        if PROC.exists():
            self.kill()
        else:
            self.stop()


@contextmanager
def running(
    data: Path, *, workers: int = 2, settings: Mapping[str, str] | None = None, argv: Sequence[str] | None = None
) -> Iterator[Server]:
    """A server that answers, on an empty folder; gone afterwards."""
    server = Server(data, workers=workers, settings=settings, argv=argv)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.close()


def command() -> str:
    """The command of the environment that the tests run in."""
    return str(Path(sys.executable).with_name("tracelake"))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    condition: Callable[[], bool], what: Callable[[], str], *, timeout_s: float = DEADLINE_S, poll_s: float = 0.02
) -> None:
    """Return when the condition holds; when it does not in time, fails with what `what` then says is the matter."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout_s:.0f} s: {what()}"
        time.sleep(poll_s)


def send(pid: int, number: int) -> None:
    """Send a signal; a process that has ended meanwhile does not mind."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def state(pid: int) -> str:
    """State of a process as the kernel has it: T is stopped, Z has ended, empty is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def has_ended(pid: int) -> bool:
    """Whether a process has given back all it had: the last of its threads has ended, not just the first."""
    return state(pid) in ("", "Z") and len(list((PROC / str(pid)).glob("task/*"))) <= 1


def _items(file: Path) -> set[bytes]:
    """The NUL-separated items of a file of /proc; none if the process has ended or is somebody else's."""
    try:
        return set(file.read_bytes().split(b"\0"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return set()
