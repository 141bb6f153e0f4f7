"""Impact: did this deploy make it worse, where, and how sure are we.

Takes   a deploy, the other deploys, minutes of endpoints, calls between services and occurrences of errors.
Gives   a report: one row per endpoint and metric with effect, interval and verdict, and the errors that are new.
Refuses nothing; where little is known, the verdicts say so.

docs/impact.md tells the method; each step names its source where it is done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from .controls import Controls, controls_of
from .counts import Minutes, side_of
from .effects import MIN_CONTROLS, MIN_DAYS, Booleans
from .endpoint_report import Measured, by_clock, by_version
from .error_changes import error_changes
from .facts import Deploy, Facts
from .report_table import GRAVITY, Row, judged
from .verdicts import Verdict
from .windows import GUARD_MIN, WIDTH_MIN, Windows, minute_of, undisturbed, windows

VERSION_WITHIN = dt.timedelta(minutes=15)
"""How far from a deploy without a service the version of a service may change for the deploy to be one of it."""

MIX_SHIFT = 0.1
"""Total variation distance from which a report points at the mix."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a deploy did."""

    deploy: Deploy
    services: tuple[str, ...]
    rows: pl.DataFrame
    """One per endpoint and metric, worst first; columns in docs/impact.md."""
    errors: pl.DataFrame
    """Of `error_changes`, with `service`."""
    notes: tuple[str, ...]
    """What a reader must know before believing it."""

    @property
    def verdict(self) -> Verdict:
        """The gravest one of the rows."""
        found = set(self.rows["verdict"])
        return next((one for one in GRAVITY if one in found), "insufficient data")


def impact(
    deploy: Deploy, facts: Facts, now: dt.datetime, *, width_min: int = WIDTH_MIN, guard_min: int = GUARD_MIN
) -> Report:
    """Report what a deploy did.

    Args:
        deploy: the deploy.
        facts: what is known; of one environment, or deploys of one look like those of another.
        now: nothing later is looked at. Before the window is over a report gives verdicts at a few looks only.
        width_min: minutes compared on each side, where no other deploy of the service cuts them.
        guard_min: minutes after the deploy that are left out, e.g. those of the rollout.
    """
    minutes = _requests(facts.minutes)
    services = services_of(deploy, minutes)
    facts = replace(facts, minutes=minutes)
    parts = []
    for service in services:
        times = _times_of(service, facts.deploys)
        when = windows(deploy.deployed_at, times, now, width_min=width_min, guard_min=guard_min)
        parts.append(_of_service(service, deploy, facts, when, width_min))
    rows = judged([row for part in parts for row in part.rows])
    errors = pl.concat([part.errors for part in parts]) if parts else pl.DataFrame()
    return Report(deploy, tuple(services), rows, errors, tuple(dict.fromkeys(note for part in parts for note in part.notes)))


def services_of(deploy: Deploy, minutes: pl.DataFrame) -> list[str]:
    """The services that a deploy is one of: the named one, else those that have a new version then, else all."""
    if deploy.service is not None:
        return [deploy.service]
    named = minutes.filter(pl.col("service_name").is_not_null())
    first_seen = named.group_by("service_name", "service_version").agg(pl.col("minute").min()).drop_nulls()
    is_new = (pl.col("minute") - deploy.deployed_at).abs() <= VERSION_WITHIN
    was_there = named.filter(pl.col("minute") < deploy.deployed_at - VERSION_WITHIN)
    changed = first_seen.filter(is_new).join(was_there, on="service_name", how="semi")
    return sorted(set(changed["service_name"]) or set(named["service_name"]))


@dataclass(frozen=True, slots=True)
class _Part:
    rows: list[Row]
    errors: pl.DataFrame
    notes: list[str]


def _requests(rows: pl.DataFrame) -> pl.DataFrame:
    """The minutes of requests: what somebody waits for at the edge of a service, not its parts."""
    if "stratum" not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.String).alias("stratum"))
    return rows.filter(pl.col("is_request"))


def _of_service(service: str, deploy: Deploy, facts: Facts, when: Windows, width_min: int) -> _Part:
    """The part of a report that is of one service."""
    overlaps = _overlaps(service, deploy, facts, when)
    controls = controls_of(service, facts, when)
    quiet = undisturbed(when, _times_of(service, facts.deploys))
    own = facts.minutes.filter(pl.col("service_name") == service).sort("endpoint")
    rows = [
        Row(service, str(endpoint), measured, when, overlaps, _is_founded(measured) and not overlaps)
        for (endpoint,), minutes in own.group_by("endpoint", maintain_order=True)
        for measured in _measured(minutes, deploy, when, quiet, controls)
    ]
    occurrences = facts.occurrences.filter(pl.col("service_name") == service)
    errors = error_changes(occurrences, when).select(pl.lit(service).alias("service"), pl.all())
    return _Part(rows, errors, _notes(when, rows, overlaps, width_min))


def _times_of(service: str, deploys: Iterable[Deploy]) -> list[dt.datetime]:
    return [deploy.deployed_at for deploy in deploys if deploy.service in (service, None)]


def _is_founded(measured: Measured) -> bool:
    return measured.mode == "version" or (measured.support.calibrated and measured.support.controls >= MIN_CONTROLS)


def _measured(rows: pl.DataFrame, deploy: Deploy, when: Windows, quiet: Booleans, controls: Controls) -> list[Measured]:
    """By version where both versions ran side by side for long enough, else by the clock."""
    minutes = Minutes.of(rows)
    if not (side_of(minutes.minute - when.first, when.before, when.after) >= 0).any():
        return []
    if deploy.version is not None and "service_version" in rows.columns:
        is_new = rows["service_version"].eq_missing(deploy.version).to_numpy()
        side_by_side = by_version(minutes, is_new, when)
        if side_by_side is not None:
            return side_by_side
    return by_clock(minutes, when, quiet, controls)


def _overlaps(service: str, deploy: Deploy, facts: Facts, when: Windows) -> tuple[str, ...]:
    """Ids of other deploys that could be the cause of what is seen: of services that this one waits for, in the windows."""
    below, (begin, end) = facts.callees_of(service), when.span
    inside = [one for one in facts.deploys if one.id != deploy.id and begin <= minute_of(one.deployed_at) < end]
    return tuple(one.id for one in inside if one.service in below)


def _notes(when: Windows, rows: list[Row], overlaps: tuple[str, ...], width_min: int) -> list[str]:
    """What a reader must know."""
    clock = [row.measured for row in rows if row.measured.mode == "clock"]
    before_min, after_min = (end - begin for begin, end in (when.before, when.after))
    is_cut = when.look_min is None and min(before_min, after_min) < width_min
    notes = {
        f"{when.together} deploys of the service lie so close that they are judged together": when.together > 1,
        f"the window is not over: a look at {when.look_min} of {when.width_min} min, which wants more certainty than the "
        "last one": when.look_min is not None,
        f"another deploy of the service cuts the windows to {before_min} min before and {after_min} min after": is_cut,
        f"services that are called were deployed in the windows ({', '.join(overlaps)}): no more than a suspicion": overlaps,
        f"no controls: fewer than {MIN_CONTROLS} untouched endpoints have requests enough, so a slowdown of everything "
        "would look the same": any(one.support.controls < MIN_CONTROLS for one in clock),
        f"fewer than {MIN_DAYS} days before are known, so only blocks of ten minutes tell drift from the deploy": any(
            not one.support.calibrated for one in clock
        ),
        "the mix of requests changed; differences are those in the mix after the deploy": any(
            row.measured.mix_distance > MIX_SHIFT for row in rows
        ),
    }
    return [note for note, holds in notes.items() if holds]
