"""Processes: what a process tree has used, from /proc. Linux only."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """The process and all its descendants that live."""
    todo, found = [pid], []
    while todo:
        found.append(todo.pop())
        for task in _PROC.glob(f"{found[-1]}/task/*/children"):
            todo += map(int, _text(task).split())
    return list(dict.fromkeys(found))


def cpu_s(pid: int) -> float:
    """CPU-seconds of the tree, user and system, ended children included."""
    total = 0
    for process in tree(pid):
        fields = _text(_PROC / str(process) / "stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / _TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of the tree in MiB; pages that processes share count for each of them."""
    total_kib = 0
    for process in tree(pid):
        for line in _text(_PROC / str(process) / "status").splitlines():
            if line.startswith("VmRSS:"):
                total_kib += int(line.split()[1])
    return total_kib / 1024


def machine_cpu_s() -> float:
    """CPU-seconds that the whole machine has been busy."""
    fields = list(map(int, _text(_PROC / "stat").splitlines()[0].split()[1:]))
    return (sum(fields[:8]) - fields[3] - fields[4]) / _TICKS


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended since it was listed
        return ""


def wait_idle(pid: int, *, quiet_s: int = 15, share: float = 0.03, limit_s: int = 240) -> None:
    """Return when the tree has used less than `share` of a core in each of `quiet_s` seconds in a row.

    Raises:
        TimeoutError: it did not within `limit_s`.
    """
    deadline, quiet, last = time.monotonic() + limit_s, 0, cpu_s(pid)
    while quiet < quiet_s:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} was not idle for {quiet_s} s within {limit_s} s")
        time.sleep(1)
        now = cpu_s(pid)
        quiet = quiet + 1 if now - last <= share else 0
        last = now


@dataclass(frozen=True, slots=True)
class Used:
    """What a span of time cost."""

    wall_s: float
    server_cpu_s: float
    others_share: float
    """Share of the machine that neither server nor driver used; above 0.1 the figures are not to be trusted."""


class Meter:
    """Counts from its making on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        return time.monotonic(), cpu_s(self._pid), time.process_time(), machine_cpu_s()

    def read(self) -> Used:
        """What has been used so far."""
        wall_s, server_s, driver_s, machine_s = (b - a for a, b in zip(self._start, self._now(), strict=True))
        others = max(0.0, machine_s - server_s - driver_s) / max(wall_s, 1e-6) / (os.cpu_count() or 1)
        return Used(wall_s, server_s, others)


class PeakMemory:
    """Watches a tree's resident memory while the context is open."""

    def __init__(self, pid: int) -> None:
        self.peak_mib = 0.0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.peak_mib = max(self.peak_mib, resident_mib(self._pid))
