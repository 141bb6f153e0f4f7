"""Numbers over time, worked out in plain Python over the spans that were sent."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections import defaultdict
from typing import Any

import pytest

import lake
from lake.errors import InvalidParameter
from lake.search import InvalidQuery, metrics
from tests.lake.rows import span
from tests.lake.search import sent
from tests.lake.search.asked import attribute, duration_of, related
from tests.lake.search.stores import STATES, stored
from tests.lake.spans import START

STEP_S = 7
SINCE, UNTIL = START + dt.timedelta(seconds=5), START + dt.timedelta(seconds=50)
STEPS = math.ceil(45 / STEP_S)


@pytest.fixture(scope="module")
def spans():
    """Spans of which none comes again."""
    return sent.latest(sent.some_requests(5, traces=60))


@pytest.fixture(scope="module", params=STATES)
def opened(request, tmp_path_factory, spans):
    requests = [spans[place::4] for place in range(4)]
    with stored(tmp_path_factory.mktemp(request.param) / "lake", requests, request.param) as opened:
        yield opened


def measured(opened, query, **known):
    """Points by labels and step."""
    asked: dict[str, Any] = {"since": SINCE, "until": UNTIL, "step_s": STEP_S} | known
    found = {}
    for row in opened.search_metrics(query, **asked).rows():
        step, rest = divmod(row["time"] - asked["since"], dt.timedelta(seconds=asked["step_s"]))
        assert not rest
        found[tuple(value for _, value in row["labels"]), step] = row["value"]
    return found


def grouped(spans, label=lambda _: ()):
    """Spans of the window by labels and step."""
    groups = defaultdict(list)
    for known in spans:
        step = (known.start_ns - 5 * 10**9) // (STEP_S * 10**9)
        if 5 * 10**9 <= known.start_ns < 50 * 10**9:
            groups[label(known), step].append(known)
    return groups


def filled(groups, series=None):
    every = {labels for labels, _ in groups} if series is None else series
    return {(labels, step): len(groups.get((labels, step), ())) for labels in every for step in range(STEPS)}


def service(known):
    return (attribute(known.resource, "service.name"),)


def test_counts_have_every_step_of_every_series(opened, spans):
    assert measured(opened, "{ } | count_over_time() by(service.name)") == filled(grouped(spans, service))
    assert measured(opened, "{ } | count_over_time()") == filled(grouped(spans))


def test_a_rate_is_a_second(opened, spans):
    errors = [known for known in spans if known.status == "error"]
    expected = {key: pytest.approx(count / STEP_S) for key, count in filled(grouped(errors)).items()}
    assert measured(opened, "status = error | rate()") == expected


def test_what_nothing_matches_is_zero_and_by_nothing_is_no_series(opened):
    assert measured(opened, "nowhere.at.all = 1 | count_over_time()") == dict.fromkeys([((), n) for n in range(STEPS)], 0)
    assert measured(opened, "nowhere.at.all = 1 | count_over_time() by(name)") == {}
    assert measured(opened, "nowhere.at.all = 1 | max_over_time(duration)") == {}


@pytest.mark.parametrize(("function", "calculate"), [("min", min), ("max", max), ("sum", sum), ("avg", statistics.fmean)])
def test_durations_are_measured_in_seconds(opened, spans, function, calculate):
    expected = {
        key: pytest.approx(calculate([known.duration_ns / 1e9 for known in group]))
        for key, group in grouped(spans, service).items()
    }
    assert measured(opened, f"{{ }} | {function}_over_time(duration) by(service.name)") == expected


def test_attributes_are_measured_where_they_are_numbers(opened, spans):
    having = [known for known in spans if "ratio" in known.attributes]
    expected = {key: pytest.approx(sum(k.attributes["ratio"] for k in group)) for key, group in grouped(having).items()}
    assert measured(opened, "{ } | sum_over_time(span.ratio)") == expected


def test_quantiles_are_exact_and_a_series_each(opened, spans):
    expected = {}
    for ((), step), group in grouped(spans).items():
        durations = sorted(known.duration_ns / 1e9 for known in group)
        for text, quantile in (("0.5", 0.5), ("0.95", 0.95)):
            place = quantile * (len(durations) - 1)
            low, high = durations[math.floor(place)], durations[math.ceil(place)]
            expected[(text,), step] = pytest.approx(low + (high - low) * (place % 1))
    assert measured(opened, "{ } | quantile_over_time(duration, .5, .95)") == expected


def test_buckets_of_a_histogram_end_at_powers_of_two(opened, spans):
    expected: defaultdict[tuple[tuple[str], int], int] = defaultdict(int)
    for ((), step), group in grouped(spans).items():
        for known in group:
            seconds = known.duration_ns / 1e9
            bucket = 2.0 ** math.ceil(math.log2(seconds)) if seconds else 0.0
            expected[(f"{bucket:.12g}",), step] += 1
    found = measured(opened, "{ } | histogram_over_time(duration)")
    assert {((f"{float(label):.12g}",), step): value for ((label,), step), value in found.items()} == expected


def test_relations_and_pipelines_count_their_spans(opened, spans):
    traces = defaultdict(list)
    for known in spans:
        traces[known.trace].append(known)
    children = [
        trace[b] for trace in traces.values() for b in range(len(trace))
        if any(related(">", a, b, trace) and trace[a].kind == "server" for a in range(len(trace)))
    ]  # fmt: skip
    assert measured(opened, "{ kind = server } > { } | count_over_time()") == filled(grouped(children))
    large = [known for trace in traces.values() if len(trace) > 4 for known in trace]
    assert measured(opened, "{ } | count() > 4 | count_over_time()") == filled(grouped(large))
    long = [known for trace in traces.values() if duration_of(trace) > 10**9 for known in trace]
    assert measured(opened, "trace.duration > 1s | count_over_time()") == filled(grouped(long))


def test_a_threshold_leaves_the_points_beyond_it(opened):
    whole = measured(opened, "{ } | max_over_time(duration)")
    assert measured(opened, "{ } | max_over_time(duration) > 100ms") == {k: v for k, v in whole.items() if v > 0.1}
    counts = measured(opened, "{ } | count_over_time() by(name)")
    assert measured(opened, "{ } | count_over_time() by(name) >= 3") == {k: v for k, v in counts.items() if v >= 3}


def test_labels_are_named_as_they_are_asked_for(opened):
    row = opened.search_metrics(
        "{ } | quantile_over_time(duration, .5) by(resource.service.name, name)", since=SINCE, until=UNTIL, step_s=60
    ).rows()[0]
    assert [name for name, _ in row["labels"]] == ["resource.service.name", "name", "quantile"]


@pytest.mark.parametrize("step_s", [0, -1, float("nan"), 1e-9, 45 / 12_000])
def test_a_step_that_makes_no_points_or_too_many_is_refused(opened, step_s):
    with pytest.raises(InvalidParameter, match="'step'"):
        opened.search_metrics("{ } | rate()", since=SINCE, until=UNTIL, step_s=step_s)


def test_too_many_series_are_refused(lake_folder, landing, monkeypatch):
    monkeypatch.setattr(metrics, "MAX_SERIES", 10)
    landing.put("spans", *(span(n, name=f"{n}") for n in range(1, 12)))
    with lake.open(lake_folder.path) as opened:
        assert len(measured(opened, "{ name != '1' } | rate() by(name)", since=START, step_s=60)) == 10
        with pytest.raises(InvalidQuery, match="more than 10 series"):
            measured(opened, "{ } | rate() by(name)", since=START, step_s=60)


def test_a_query_of_traces_has_no_points(opened):
    with pytest.raises(InvalidQuery, match=r"end it with \| rate\(\)"):
        measured(opened, "{ }")
