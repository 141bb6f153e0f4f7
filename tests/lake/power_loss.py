"""A lake whose power goes: what clients do, what they were told, and what must be there afterwards.

Takes   a plan: what clients and compactor do, which file operations fail, and when the power goes.
Gives   nothing; an `AssertionError` says what was lost or doubled.
Refuses nothing.

A client sends a request until it has its answer, as OTLP says. So after the power loss it sends again what was not
answered, and then each request it ever sent must be there once; one that it gives up may be there, whole.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from lake import tables
from lake.compaction import Compactor
from lake.errors import CommitConflict, NotALake, Overloaded
from lake.folder import LakeFolder, create_folder, open_folder
from lake.landing import LandingWriter, Request
from lake.lease import LEASE_S
from tests.lake.checks import DISK, SPAN_TABLES, Clock, assert_exactly_once
from tests.lake.sim_disk import SimDisk
from tests.lake.spans import START, otlp_body, rows_of

ACTIONS = (
    "send", "send", "send while compacting", "repeat", "compact", "compact", "writer restarts", "compactor restarts",
)  # fmt: skip
CRASHES = 4
"""Power losses tried of each run, each at a moment and with a result of its own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    actions: tuple[str, ...]
    failures: frozenset[int]
    """Numbers of the file operations that fail."""
    seed: int

    @classmethod
    def of(cls, seed: int) -> Plan:
        random = Random(seed)  # noqa: S311 - repeatable, not secret
        actions = random.choices(ACTIONS, k=random.randint(2, 7))
        failures = random.sample(range(5, 160), k=random.choice((0, 0, 1, 2)))
        return cls(tuple(actions), frozenset(failures), seed)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of; a mutant is another one of these."""

    disk: type[SimDisk] = SimDisk
    writer: type[LandingWriter] = LandingWriter
    compactor: type[Compactor] = Compactor


@dataclass(slots=True)
class _Clients:
    """What was sent, and when it was answered, counted in file operations."""

    disk: SimDisk
    clock: Clock = field(default_factory=Clock)
    sent: dict[int, int] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)

    def send(self, writer: LandingWriter, number: int) -> None:
        """Send a request until it is answered, but not for ever; half of the clients give up at once."""
        self.sent.setdefault(number, self.disk.done)
        for _ in range(1 if number % 2 else 3):
            try:
                writer.commit(*_rows(number))
            except Overloaded:
                continue
            self.answered.setdefault(number, self.disk.done)
            return


@lru_cache(maxsize=64)
def _body(number: int) -> bytes:
    return otlp_body(3, traces=2, exceptions=number % 2 == 0, first=7_000_000_000 + number * 1000)


@lru_cache(maxsize=64)
def _rows(number: int) -> tuple[pa.Table, list[Request]]:
    return rows_of([_body(number)])


def check(plan: Plan, folder: Path, parts: Parts = Parts(), *, crashes: int = CRASHES) -> None:
    """Carry out a plan on a disk that forgets, and look at what is left after some power losses."""
    (before := folder / "before").mkdir(parents=True)
    disk = parts.disk(before, fail_at=plan.failures)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "CHECKPOINT_EVERY", 2)
        clients = _run(plan, before / "lake", disk, parts)
        random = Random(plan.seed)  # noqa: S311 - repeatable, not secret
        for number in range(crashes):
            after, at = folder / str(number), random.randint(0, disk.done)
            disk.lose_power(after, after=at, random=random)
            _recover(after / "lake", clients, at, random, parts)
    shutil.rmtree(folder)


def _run(plan: Plan, path: Path, disk: SimDisk, parts: Parts) -> _Clients:
    clients = _Clients(disk)
    lake = _created(path, disk)
    writer = parts.writer(path, "spans", now=START, disk=disk)
    compactor = parts.compactor(lake, disk=disk, clock=clients.clock)
    for number, action in enumerate(plan.actions):
        if action == "send":
            clients.send(writer, number)
        elif action == "send while compacting":
            disk.meanwhile = partial(_compact_between_the_last_steps, disk, compactor)
            clients.send(writer, number)
        elif action == "repeat":
            clients.send(writer, plan.seed % (number + 1))
        elif action == "compact":
            _compact(compactor)
        elif action == "writer restarts":
            writer.close()
            writer = parts.writer(path, "spans", now=START, disk=disk)
        else:
            clients.clock.now_s += LEASE_S + 1
            compactor = parts.compactor(lake, disk=disk, clock=clients.clock)
    writer.close()
    return clients


def _compact_between_the_last_steps(disk: SimDisk, compactor: Compactor, folder: Path) -> None:
    """Another process compacts when a landing file has its name and that is not flushed."""
    if folder.parent.parent.name == "spans" and any(folder.iterdir()):
        disk.meanwhile = None
        _compact(compactor)


def _created(path: Path, disk: SimDisk) -> LakeFolder:
    while True:  # the operations that fail are few
        try:
            return create_folder(path, disk=disk)
        except OSError:
            continue


def _compact(compactor: Compactor) -> None:
    """What the scheduler does: if it fails, it tries again at its next turn."""
    with contextlib.suppress(OSError, CommitConflict):
        compactor.absorb()


def _recover(path: Path, clients: _Clients, at: int, random: Random, parts: Parts) -> None:
    """Start again on what is left, send again what was not answered, and compare."""
    sent = [number for number, when in clients.sent.items() if when < at]
    answered = [number for number in sent if clients.answered.get(number, at + 1) <= at]
    again = [number for number in sent if number not in answered and random.random() < 0.7]
    if answered:
        assert_is_lake(path)
    lake = create_folder(path)
    writer = LandingWriter(path, "spans", now=START, disk=DISK)  # the power stays on from here
    for number in again:
        writer.commit(*_rows(number))
    writer.close()
    clients.clock.now_s += LEASE_S + 1
    compactor = parts.compactor(lake, disk=DISK, clock=clients.clock)
    compactor.absorb()
    for name in SPAN_TABLES:
        compactor.log(name)  # makes those that nothing was ever written to
    assert_exactly_once(path, _bodies([*answered, *again]), perhaps=_bodies(sent))


def assert_is_lake(path: Path) -> None:
    """The folder is a lake still."""
    try:
        open_folder(path)
    except NotALake as error:
        raise AssertionError("lake") from error


def _bodies(numbers: Sequence[int]) -> list[bytes]:
    return [_body(number) for number in numbers]
