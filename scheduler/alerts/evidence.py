"""Evidence: what to look at when an alert begins: the last deploy before it, and a trace that shows it.

Takes   the alerts of one lake that begin to fire, and its tables.
Gives   for each the last deploy of its service or of every service, and the id of a trace of the window: of a latency one
        that took about as long as the alert says, of errors the newest that failed, else the slowest.
Refuses nothing: an alert of which nothing can be found has no evidence, and is told all the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from lake import Lake, deploys
from lake.derived import Spans
from lake.derived.endpoints import endpoint_of
from lake.derived.spans import SOURCE_COLUMNS
from lake.error_groups import ErrorFilter, happened
from lake.errors import LakeError
from lake.relations import Ask, Relations
from lake.services import DEFAULT_CLUSTER

from .metrics import Metric
from .notifications import DeployNote
from .records import Evidence, StoredAlert, StoredRule, labels_of

LOOK_BACK = dt.timedelta(minutes=10)
"""How much of a long window is looked through for a trace, the last part of it."""

MAX_LOOKS = 50
"""Alerts of one sweep that get an example; where everything fires at once the first of them tell enough."""

log = structlog.get_logger()


def evidence_of(lake: Lake, begun: Sequence[tuple[StoredRule, StoredAlert]]) -> dict[str, Evidence]:
    """The evidence of alerts, by key."""
    tables, ask = lake.tables()
    every = deploys.deploys(tables)
    found = {}
    for number, (rule, alert) in enumerate(begun):
        trace_id = None
        try:
            if number < MAX_LOOKS:
                trace_id = _trace(rule, alert, lake, tables, ask)
        except LakeError as error:
            log.warning("no example of an alert", rule=rule.id, reason=str(error))
        found[alert.key] = Evidence(_deploy(rule, alert, every), trace_id)
    return found


def _deploy(rule: StoredRule, alert: StoredAlert, every: pa.Table) -> DeployNote | None:
    known = labels_of(rule, alert.series)
    before = deploys.up_to(every, alert.state.active_since or alert.state.since)
    if service := _service(known):
        environment = known.get("environment")
        before = deploys.of_services(before, [service], [environment] if environment else [])
    if not before.num_rows:
        return None
    [row] = before.slice(0, 1).select(["id", "version", "git_sha", "deployed_at"]).to_pylist()
    return DeployNote(**row)


def _service(known: dict[str, str]) -> str | None:
    """The service among the labels of an alert; TQ has its own names for it."""
    return next((known[name] for name in ("service", "service.name", "resource.service.name") if name in known), None)


def _trace(rule: StoredRule, alert: StoredAlert, lake: Lake, tables: Relations, ask: Ask) -> str | None:
    condition, until = rule.rule.condition, alert.state.evaluated_to
    since = until - min(dt.timedelta(seconds=condition.window_s), LOOK_BACK)
    known = labels_of(rule, alert.series)
    if condition.query is not None:
        return _of_query(rule, lake, since, until)
    if "error" in condition.measure.source:
        asked = ErrorFilter(since, until, known.get("service"), known.get("environment"))
        traces = happened(asked, tables).sort_by([("timestamp", "descending")]).column("trace_id").drop_null()
        return traces[0].as_py() if len(traces) else None
    return _example(_spans(known, since, until, tables, ask), condition.measure, alert.state.value)


def _example(spans: pa.Table, metric: Metric, value: float | None) -> str | None:
    """One that is like those that the alert is about; what is slowest has often a trouble of its own."""
    order = ("duration_ns", "descending")
    if metric.name in ("error_rate", "error_count"):
        failed = spans.filter(spans.column("failed"))
        spans, order = (failed, ("start_time", "descending")) if failed.num_rows else (spans, order)
    elif metric.unit == "ms" and value is not None:
        distance = pc.abs(pc.subtract(spans.column("duration_ns").cast(pa.float64()), value * 1e6))
        spans, order = spans.append_column("distance", distance), ("distance", "ascending")
    found = spans.sort_by([order, ("trace_id", "ascending")]).column("trace_id")
    return found[0].as_py() if len(found) else None


def _of_query(rule: StoredRule, lake: Lake, since: dt.datetime, until: dt.datetime) -> str | None:
    found = lake.search(rule.rule.condition.traces_query, since=since, until=until, limit=1).rows()
    return found[0]["trace_id"] if found else None


def _spans(known: dict[str, str], since: dt.datetime, until: dt.datetime, tables: Relations, ask: Ask) -> pa.Table:
    """trace_id, start_time, duration_ns and failed of the spans that a rule is about."""
    source = tables.of("spans", since=since, until=until, columns=SOURCE_COLUMNS)
    columns = {
        "service": "service_name", "environment": "environment", "cluster": f"coalesce(cluster, '{DEFAULT_CLUSTER}')",
    }  # fmt: skip
    filters = {name: column for name, column in columns.items() if name in known}
    where = "".join(f" AND {column} = ${name}" for name, column in filters.items())
    text = (
        f"SELECT {', '.join(SOURCE_COLUMNS)} FROM ({source.text}) WHERE start_time >= $since AND start_time < $until{where}"
    )
    values = {"since": since, "until": until} | {name: known[name] for name in filters}
    spans = Spans(ask(text, values, source))
    found = pa.table(
        {
            "trace_id": spans.rows.column("trace_id"),
            "start_time": spans.rows.column("start_time"),
            "duration_ns": spans.rows.column("duration_ns"),
            "failed": spans.flags(spans.facets.column("failed")),
        }
    )
    if "endpoint" in known:
        return found.filter(pa.array(spans.flags(pc.equal(endpoint_of(spans.facets), known["endpoint"]))))
    return found.filter(pa.array(spans.flags(spans.facets.column("is_request"))))
