"""Sweep: all rules of all lakes, judged on the windows that are due.

Takes   the data folder and the store of alerts.
Gives   new states, history and messages of every rule, written in one transaction.
Refuses nothing: a lake that cannot be read is an error of its rules, and the others go on.

All is read and judged outside of the transaction, which then takes milliseconds. Another process may have swept meanwhile,
or somebody changed a rule: then what was judged is not written (`AlertStore.write`), and the next sweep sees to it. So two
schedulers that are started by mistake do the work twice and tell it once.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from lake.control.nodes import Place
from lake.errors import NotALake
from lake.settings import LakeSettings

from ..open_lakes import OpenLakes
from .evidence import evidence_of
from .judgement import Judged, judge
from .minute_counts import Series
from .problems import problem_of
from .readings import Asked, Read, read_all
from .records import Evidence, Silence, StoredAlert, StoredRule
from .states import Reading
from .store import AlertStore
from .windows import MINUTE, Due, due, newest_end

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Task:
    """What was read for a rule as it was then."""

    rule: StoredRule
    due: Due
    reads: Sequence[Read]


@dataclass(slots=True)
class Sweep:
    """The sweeps of one process. For one thread at a time."""

    data: Path
    settings: LakeSettings
    store: AlertStore
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    _lakes: OpenLakes = field(init=False)
    _judged_to: dt.datetime | None = None
    """The minute that was judged last: nothing is due before the next one."""

    def __post_init__(self) -> None:
        self._lakes = OpenLakes(self.data, self.settings)

    def run(self) -> list[Judged]:
        """Judge what is due. May be called as often as one likes: between minutes it does nothing.

        Returns:
            What became of each rule that was judged.
        """
        now = self.now()
        minute = newest_end(now, MINUTE)
        if minute == self._judged_to:
            return []
        judged = self._run(now)
        self._judged_to = minute
        return judged

    def _run(self, now: dt.datetime) -> list[Judged]:
        rules, alerts, silences = self.store.watched()
        by_place: dict[Place, list[tuple[StoredRule, Due]]] = defaultdict(list)
        for rule in rules:
            windows = due(rule.evaluated_to, now, dt.timedelta(seconds=rule.rule.condition.window_s))
            if windows.ends:
                by_place[rule.place].append((rule, windows))
        self._lakes.keep({rule.place for rule in rules})
        tasks = {task.rule.id: task for place, some in by_place.items() for task in self._read(place, some)}
        if not tasks:
            return []
        found = {name: self._judged(task, alerts.get(name, {}), silences, {}, now) for name, task in tasks.items()}
        begun = [judged for judged in found.values() if judged.begun]
        evidence = self._evidence(begun)
        for name in [judged.rule.id for judged in begun]:
            found[name] = self._judged(tasks[name], alerts.get(name, {}), silences, evidence, now)
        return self.store.write(list(found.values()))

    def close(self) -> None:
        """Give the lakes back."""
        self._lakes.close()

    def _judged(
        self,
        task: _Task,
        alerts: Mapping[Series, StoredAlert],
        silences: Sequence[Silence],
        evidence: Mapping[str, Evidence],
        now: dt.datetime,
    ) -> Judged:
        def is_silent(rule: StoredRule, series: Series) -> bool:
            return any(silence.covers(rule, series, now) for silence in silences)

        return judge(task.rule, alerts, task.due, task.reads, is_silent=is_silent, evidence=evidence, now=now)

    def _read(self, place: Place, rules: Sequence[tuple[StoredRule, Due]]) -> list[_Task]:
        asked = [Asked(rule.rule.condition, windows.ends) for rule, windows in rules]
        try:
            reads = read_all(asked, *self._lakes.of(place).tables())
        except NotALake:  # nothing was ever sent
            reads = [[Read()] * len(one.ends) for one in asked]
        except Exception as error:  # whatever the rules of one lake bring about, the others are judged
            log.warning("lake not judged", project=place.project, environment=place.environment)
            reads = [[Read({}, Reading(problem=problem_of(error)))] * len(one.ends) for one in asked]
        return [_Task(rule, windows, some) for (rule, windows), some in zip(rules, reads, strict=True)]

    def _evidence(self, begun: Sequence[Judged]) -> dict[str, Evidence]:
        by_place: dict[Place, list[tuple[StoredRule, StoredAlert]]] = defaultdict(list)
        for judged in begun:
            by_place[judged.rule.place] += [(judged.rule, alert) for alert in judged.begun]
        found: dict[str, Evidence] = {}
        for place, some in by_place.items():
            try:
                found |= evidence_of(self._lakes.of(place), some)
            except Exception as error:  # it is told all the same, and those of other lakes too
                log.error("no evidence of alerts", project=place.project, exc_info=error)
        return found
