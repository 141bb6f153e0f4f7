"""Serve: the processes of one Tracelake, started together and stopped together.

Takes   settings, and whether JupyterLab is wanted.
Gives   the web server, the scheduler and JupyterLab as child processes until SIGTERM, SIGINT or SIGHUP; all gone within 5 s.
Refuses a port that is taken (`ServeError`).

The scheduler is started again when it ends; without the web server there is nothing to serve, so its end is the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType

import structlog

from lake.errors import LakeError

from .settings import ServerSettings

STOP_S = 4.5
"""Seconds between SIGTERM and SIGKILL for a child process."""
CLIENT_STOP_S = 2.0
"""Seconds of these that clients have before the others are told."""
READY_S = 60
"""Seconds that the web server has to answer its first health check."""
_POLL_S = 0.2
_RESTART_PAUSE_S = 1.0

_ALLOCATOR = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
}
"""How the children allocate: one allocator for Arrow and the rest, which keeps some memory for the next request instead of
giving each block back. A fifth less memory at the peak, and fewer page faults, than each library's own (docs/benchmarks.md).
"""

log = structlog.get_logger()


class ServeError(LakeError):
    """The server cannot start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Command:
    """One child process."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    essential: bool = False
    """Its end is the end of all; others are started again."""
    is_client: bool = False
    """It sends to the others, so it is stopped before them and can send what it has."""


def commands(settings: ServerSettings) -> list[Command]:
    """The web server and the scheduler for some settings."""
    environment = {
        **{name: os.environ.get(name, value) for name, value in _ALLOCATOR.items()},
        **({"TRACELAKE_CONTROL_URL": settings.control_url} if settings.control_url else {}),
        "TRACELAKE_DATA": str(settings.data.resolve()),
        "TRACELAKE_HOST": settings.host,
        "TRACELAKE_PORT": str(settings.port),
        "TRACELAKE_WORKERS": str(settings.workers),
        "TRACELAKE_LAB_URL": settings.lab_url,
    }
    return [
        Command("server", (sys.executable, "-m", "api.server"), environment, essential=True),
        Command("scheduler", (sys.executable, "-m", "scheduler"), environment),
    ]


class Supervisor:
    """Child processes that live and end together."""

    def __init__(self, children: list[Command]) -> None:
        self._commands = children
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended_at_s: dict[str, float] = {}
        self._stop = threading.Event()

    def run(self, ready: Callable[[], None] = lambda: None) -> int:
        """Start all and return when told to stop, or when an essential one has ended (then its exit code).

        Args:
            ready: called once all have been started; an error in it stops them.
        """
        previous = {number: signal.signal(number, self._told) for number in _stop_signals()}
        try:
            for command in list(self._commands):
                self._start(command)
            ready()
            while not self._stop.wait(_POLL_S):
                code = self._check()
                if code is not None:
                    return code or 1
            return 0
        finally:
            self._terminate()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def add(self, command: Command) -> None:
        """Start one more child process."""
        self._commands.append(command)
        self._start(command)

    def is_told_to_stop(self) -> bool:
        """Whether there is nothing to wait for any more: a signal has come, or an essential process has ended."""
        return self._stop.is_set() or any(
            command.essential and self._running[command.name].poll() is not None for command in self._commands
        )

    def _told(self, _: int, __: FrameType | None) -> None:
        self._stop.set()

    def _start(self, command: Command) -> None:
        self._running[command.name] = subprocess.Popen(  # noqa: S603 - our own argv
            command.argv, env=os.environ | command.environment, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def _check(self) -> int | None:
        """Start again what has ended; the exit code of an essential child that has."""
        for command in self._commands:
            code = self._running[command.name].poll()
            if code is None:
                continue
            if command.essential:
                log.error("process ended", process=command.name, exit_code=code)
                return code
            ended_at_s = self._ended_at_s.setdefault(command.name, time.monotonic())
            if time.monotonic() - ended_at_s > _RESTART_PAUSE_S:
                self._start_again(command, code)
        return None

    def _start_again(self, command: Command, code: int) -> None:
        _kill_group(self._running[command.name])
        try:
            self._start(command)
        except OSError as error:  # no memory or no process left for the moment: the others go on, and a second later again
            log.error("process cannot be started", process=command.name, reason=str(error))
            self._ended_at_s[command.name] = time.monotonic()
            return
        del self._ended_at_s[command.name]
        log.warning("process started again", process=command.name, exit_code=code)

    def _terminate(self) -> None:
        deadline = time.monotonic() + STOP_S
        clients = [self._running[c.name] for c in self._commands if c.is_client and c.name in self._running]
        for process in clients:
            process.terminate()
        for process in clients:
            _wait(process, deadline - STOP_S + CLIENT_STOP_S)
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            _wait(process, deadline)
            _kill_group(process)
            process.wait()


def _stop_signals() -> list[signal.Signals]:
    """What ends a server: also the end of its terminal, unless it was started not to mind (`nohup`)."""
    hangup = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it has left behind: workers of a server that crashed would hold its port."""
    with contextlib.suppress(ProcessLookupError):  # nothing was left
        os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], deadline_s: float) -> None:
    """Wait for the end of a process, until a monotonic time at most."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline_s - time.monotonic()))


def check_port(host: str, port: int) -> None:
    """
    Raises:
        ServeError: something listens there already.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServeError(f"{host}:{port}: {error.strerror}; stop what listens there or choose --port") from error


def wait_until_healthy(url: str, is_told_to_stop: Callable[[], bool], timeout_s: float = READY_S) -> None:
    """Return when `GET /health` answers 200, or when there is no sense in waiting.

    Raises:
        ServeError: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not is_told_to_stop():
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise ServeError(f"{url} did not answer within {timeout_s:.0f} s; see the log above") from None
            time.sleep(_POLL_S)
