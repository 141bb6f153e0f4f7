"""State: what the demo remembers in its data folder.

Takes   the data folder.
Gives   `demo.json`: seed and end of the history, how many spans, how much of it was sent; and `demo-keys.json`, for the
        owner alone: the demo's two keys.
Refuses a folder that holds somebody's lake already (`DemoError`): a thousand false orders an hour are not what belongs
        there.

With seed and end, every part of the history is the same in every run; so an interrupted one goes on where it stopped. A
key of its own file is still the same after a restart, so what people pasted or configured goes on to work; the server
keeps only the hash, as of every key.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import orjson

from lake.control import FIRST_PROJECT, Control
from lake.disk import Disk, make_folders_durably, replace_durably
from lake.errors import LakeError
from lake.folder import FILE_NAME as LAKE_FILE

STATE_FILE = "demo.json"
KEYS_FILE = "demo-keys.json"


class DemoError(LakeError):
    """The demo cannot go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class State:
    """The history of a data folder."""

    seed: int
    end_ns: int
    """End of the history: when the demo was first started."""
    span_count: int
    """How many spans it shall have, about."""
    parts_sent: int = 0
    """Parts that were acknowledged, with all before them."""
    is_complete: bool = False

    @classmethod
    def read(cls, data: Path) -> Self | None:
        """The state of a data folder; None if there was no demo in it yet.

        Raises:
            DemoError: it is there, and it is none.
        """
        path = data / STATE_FILE
        try:
            return cls(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (orjson.JSONDecodeError, TypeError) as error:
            raise DemoError(
                f"{path} is not the state of a demo: remove the folder, or choose another with --data"
            ) from error

    def write(self, data: Path) -> None:
        replace_durably(Disk(), data / STATE_FILE, orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))

    def with_sent(self, parts: int, *, is_complete: bool = False) -> Self:
        return replace(self, parts_sent=parts, is_complete=is_complete)


def begun(data: Path, *, seed: int, end_ns: int, span_count: int) -> State:
    """The state of a data folder, or a new one if there is no lake in it: then nothing has been sent.

    Raises:
        DemoError: somebody else's lake is there.
    """
    known = State.read(data)
    has_lake = (data / FIRST_PROJECT / "live" / LAKE_FILE).exists()
    if known is not None and has_lake:
        return known
    if has_lake:
        raise DemoError(f"{data} holds a lake that is not the demo's: choose an empty folder with --data")
    make_folders_durably(Disk(), data)
    state = State(seed, end_ns, span_count)
    state.write(data)
    return state


@dataclass(frozen=True, slots=True)
class Keys:
    """The demo's keys."""

    ingest: str
    live: str


def demo_keys(data: Path, control_url: str | None) -> Keys:
    """The keys of the demo, of the project `default`: those of the last run as far as they are good."""
    path = data / KEYS_FILE
    known: dict[str, str] = orjson.loads(path.read_bytes()) if path.exists() else {}
    with Control(data, url=control_url) as control:
        if FIRST_PROJECT not in {project.name for project in control.list_projects()}:
            control.create_project(FIRST_PROJECT)
        good = {kind: key for kind, key in known.items() if control.authenticate(key)}
        keys = {kind: good.get(kind) or control.create_key(FIRST_PROJECT, kind).secret for kind in ("ingest", "live")}
    if keys != known:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(keys))
    return Keys(**keys)
