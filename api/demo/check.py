"""Check: whether everything of a running demo answers.

Takes   the address of the server, a live key, the data folder, the address of JupyterLab.
Gives   whether all of it answers, as soon as it does.
Refuses what does not answer in time (`DemoError`): what was asked, and what came.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import urllib3

import lake
from lake.control import FIRST_PROJECT

from .shop import SHOP
from .state import DemoError, State

HISTORY_S = 900
"""Seconds that the history has to be sent; a slow machine needs some minutes."""
ANSWER_S = 60
"""Seconds that each other thing has to answer."""
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """A running demo."""

    url: str
    live_key: str
    data: Path
    lab_url: str | None
    """Address of JupyterLab with its token; None if there is none."""
    since: dt.datetime
    """When it was started: traffic after that is live."""


class NotYet(Exception):
    """What is still missing."""


def wait_until_all_answers(
    target: Target, is_told_to_stop: Callable[[], bool], *, history_s: float = HISTORY_S, answer_s: float = ANSWER_S
) -> bool:
    """Wait until everything answers; False if told to stop before.

    Args:
        history_s: seconds that the history may take from now.
        answer_s: seconds that each other thing has to answer.

    Raises:
        DemoError: something does not answer in time.
    """
    checks = [(_history, history_s), *((ask, answer_s) for ask in (_health, _traces, _live_traces, _sql, _deploys))]
    if target.lab_url:
        checks.append((_lab, answer_s))
    return all(_answers(ask, target, seconds, is_told_to_stop) for ask, seconds in checks)


def _answers(ask: Callable[[Target], None], target: Target, seconds: float, is_told_to_stop: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not is_told_to_stop():
        try:
            ask(target)
            return True
        except NotYet as problem:
            if time.monotonic() > deadline:
                raise DemoError(f"after {seconds:.0f} s: {problem}") from None
            time.sleep(_POLL_S)
    return False


def _history(target: Target) -> None:
    state = State.read(target.data)
    if state is None or not state.is_complete:
        raise NotYet("the history has not been sent; see the log above")


def _health(target: Target) -> None:
    answer = _get(f"{target.url}/health")
    if answer != {"status": "ok"}:
        raise NotYet(f"{target.url}/health answers {answer}")


def _traces(target: Target) -> None:
    state = State.read(target.data)
    until = "" if state is None else f"&end_time={dt.datetime.fromtimestamp(state.end_ns / 1e9, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    if not _list_traces(target, f"limit=5&service=checkout{until}"):
        raise NotYet("the trace list has no traces of checkout at the end of the history")


def _live_traces(target: Target) -> None:
    since = target.since.strftime("%Y-%m-%dT%H:%M:%SZ")
    if not _list_traces(target, f"limit=5&start_time={since}"):
        raise NotYet(f"the trace list has nothing since {since}: there is no live traffic")


def _list_traces(target: Target, query: str) -> list[object]:
    answer = _get(f"{target.url}/v1/traces?{query}", target.live_key)
    traces = answer.get("data")
    if not isinstance(traces, list):
        raise NotYet(f"the trace list answers {answer}")
    return traces


def _sql(target: Target) -> None:
    with lake.open(target.data / FIRST_PROJECT / "live") as opened:
        found = {row["service_name"] for row in opened.sql("SELECT DISTINCT service_name FROM spans").rows()}
    missing = {service.name for service in SHOP.services} - found
    if missing:
        raise NotYet(f"SQL finds no spans of {', '.join(sorted(missing))}")


def _deploys(target: Target) -> None:
    with lake.open(target.data / FIRST_PROJECT / "live") as opened:
        found = opened.deploys().arrow().num_rows
    if found < len(SHOP.deploys):
        raise NotYet(f"there are {found} deploys, not {len(SHOP.deploys)}")


def _lab(target: Target) -> None:
    address, _, token = str(target.lab_url).partition("?")
    root = address.partition("/lab")[0]
    answer = _get(f"{root}/api/status?{token}")
    if "started" not in answer:
        raise NotYet(f"JupyterLab answers {answer}")


def _get(url: str, key: str | None = None) -> dict[str, object]:
    """The JSON that an address answers.

    Raises:
        NotYet: it does not answer 200 with JSON.
    """
    where = url.partition("?")[0]  # what comes after may hold a token
    try:
        response = urllib3.request(
            "GET", url, headers={"Authorization": f"Bearer {key}"} if key else {}, retries=False, timeout=30
        )
        if response.status != 200:
            raise NotYet(f"{where} answers {response.status}: {response.data[:300].decode(errors='replace')}")
        content: dict[str, object] = orjson.loads(response.data)
    except (urllib3.exceptions.HTTPError, orjson.JSONDecodeError) as error:
        raise NotYet(f"{where} does not answer: {error}") from error
    return content
