"""Checker: whether a lake holds what the ledger says, no more and no less.

Takes   the folder of a lake and the ledger of its senders.
Gives   `Verdict`: requests that are lost, there in part, there too often, or that nobody sent.
Refuses nothing; `Verdict.is_sound` and the tests do.

An acknowledged request must be there whole, in every table. One that was not acknowledged may be there, but only whole.
While a repeat waits in the landing of a table, its request may be in that table as often as it was sent; once everything
is compacted, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import lake
from lake.doctor import examine
from tests.faults.load import NAME_LENGTH, Ledger
from tests.lake.checks import assert_derived
from tests.servers import DEADLINE_S, wait_until


@dataclass(frozen=True, slots=True)
class Found:
    """What a lake has of one request."""

    rows: int
    """Rows of `spans`."""
    spans: int
    """Distinct spans among them."""
    exceptions: int
    """Rows of `exceptions`; a request has one exception event."""
    summarized: int
    """Spans that the rows of `trace_summaries` count."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Names of requests that are not as they should be."""

    lost: frozenset[str] = frozenset()
    """Acknowledged, and not there at all."""
    partial: frozenset[str] = frozenset()
    """There, but not whole."""
    repeated: frozenset[str] = frozenset()
    """There more often than they may be."""
    unknown: frozenset[str] = frozenset()
    """There, but never sent."""

    @property
    def is_sound(self) -> bool:
        return not any(getattr(self, kind.name) for kind in fields(self))

    def __str__(self) -> str:
        return ", ".join(f"{len(getattr(self, kind.name))} {kind.name}" for kind in fields(self))


def judge(
    found: Mapping[str, Found], *, acknowledged: frozenset[str], sent: Mapping[str, tuple[int, int]], is_settled: bool
) -> Verdict:
    """Compare what is there with what was sent.

    Args:
        acknowledged: names of the requests that had been acknowledged before the lake was read.
        sent: by name the spans of each request, and how often it had been sent after the lake was read.
        is_settled: nothing waits in the landing, so that every request must be there once.
    """
    partial, repeated = set(), set()
    for name, there in found.items():
        spans, attempts = sent.get(name, (there.spans, there.rows))
        derived = there.summarized // spans, there.exceptions
        if there.spans != spans or there.rows % spans or there.summarized % spans or not all(derived):
            partial.add(name)
        elif max(there.rows // spans, *derived) > (1 if is_settled else attempts):
            repeated.add(name)
    return Verdict(
        acknowledged - found.keys(), frozenset(partial), frozenset(repeated), frozenset(found.keys() - sent.keys())
    )


def check(path: Path, ledger: Ledger, *, is_settled: bool) -> Verdict:
    """Judge a lake by its ledger; senders may be at work."""
    acknowledged = ledger.acknowledged_now()
    found = _found(path)
    return judge(found, acknowledged=acknowledged, sent=ledger.sent_now(), is_settled=is_settled)


def _found(path: Path) -> dict[str, Found]:
    """What the lake has of each request, of one snapshot."""
    with lake.open(path) as opened:
        rows = opened.sql(
            f"""
            WITH raised AS (
                SELECT left(trace_id, {NAME_LENGTH}) AS request, count(*) AS exceptions FROM exceptions GROUP BY ALL
            ), summaries AS (
                SELECT left(trace_id, {NAME_LENGTH}) AS request, sum(span_count)::BIGINT AS summarized
                FROM trace_summaries GROUP BY ALL
            ), found AS (
                SELECT left(trace_id, {NAME_LENGTH}) AS request, count(*) AS rows,
                    count(DISTINCT (trace_id, span_id)) AS spans
                FROM spans GROUP BY ALL
            )
            SELECT request, rows, spans, coalesce(exceptions, 0) AS exceptions, coalesce(summarized, 0) AS summarized
            FROM found LEFT JOIN raised USING (request) LEFT JOIN summaries USING (request)
            """
        ).rows()
    return {row["request"]: Found(row["rows"], row["spans"], row["exceptions"], row["summarized"]) for row in rows}


def waiting_files(path: Path) -> int:
    """Landing files that some table has not absorbed."""
    with lake.open(path) as opened:
        return len({file.path for table in opened.snapshot().tables.values() for file in table.tail})


def assert_settles(path: Path, ledger: Ledger) -> None:
    """Wait until nothing waits in the landing; then every request must be there exactly once, in every table."""
    wait_until(lambda: not waiting_files(path), lambda: f"{waiting_files(path)} files wait", timeout_s=2 * DEADLINE_S)
    verdict = check(path, ledger, is_settled=True)
    assert verdict.is_sound, verdict
    with lake.open(path) as opened:
        [counts] = opened.sql(
            """
            SELECT (SELECT count(*) FROM spans) AS spans, sum(row_count) FILTER (NOT duplicate) AS counted,
                count(*) FILTER (NOT duplicate) AS requests, count(DISTINCT request_hash) AS hashes,
                count(DISTINCT request_hash) FILTER (NOT duplicate) AS first_hashes
            FROM batches
            """
        ).rows()
        known = {row["request_hash"] for row in opened.sql("SELECT request_hash FROM batches").rows()}
    assert counts["counted"] == counts["spans"]
    assert counts["requests"] == counts["hashes"] == counts["first_hashes"]
    assert {sha256(ledger.sent[name].body).hexdigest() for name in ledger.acknowledged} <= known
    assert_derived(path)
    assert_healthy(path)


def assert_healthy(path: Path) -> None:
    """`tracelake doctor` finds nothing broken."""
    report = examine(path)
    assert report.is_healthy, report.findings
