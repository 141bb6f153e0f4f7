"""What is a rule, and what is refused with the name of the field."""

import pytest

from lake.errors import InvalidParameter
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.durations import seconds, text_of
from scheduler.alerts.metrics import ALIASES, METRICS, metric_named
from scheduler.alerts.rules import Condition, Rule, condition_of, rule_of, shown

CONDITION = {"metric": "latency_p99", "operator": ">", "threshold": 500, "window": "5m", "service": "checkout"}
RULE = {"name": "High p99 on checkout", "condition": CONDITION, "channels": ["slack", "pagerduty"]}


def test_a_rule_is_what_the_contract_shows():
    rule = rule_of(RULE)
    condition = Condition("latency_p99", 500.0, "5m", service="checkout")
    assert rule == Rule("High p99 on checkout", condition, (Channel("slack"), Channel("pagerduty")))
    assert (rule.severity, rule.enabled, rule.condition.window_s) == ("warning", True, 300)
    assert shown(rule.condition) == CONDITION


FULL = {
    "metric": "error_rate", "operator": ">=", "threshold": 0.05, "window": "1h30m", "service": "a", "operation": "GET /",
    "environment": "production", "cluster": "eu", "min_requests": 20, "for": "10m", "keep_firing_for": "1h",
    "group_by": "endpoint", "no_data": "alert", "on_error": "ok", "apdex_threshold_ms": 250.0,
}  # fmt: skip


def test_a_condition_comes_back_as_it_was_given():
    assert shown(condition_of(FULL)) == FULL
    assert condition_of(shown(condition_of(FULL))) == condition_of(FULL)


@pytest.mark.parametrize(
    ("given", "text", "in_seconds"), [(300, "5m", 300), ("300s", "300s", 300), (30, "30s", 30), ("1d", "1d", 86400)]
)
def test_a_window_is_text_or_seconds(given, text, in_seconds):
    condition = condition_of(CONDITION | {"window": given})
    assert (condition.window, condition.window_s) == (text, in_seconds)


@pytest.mark.parametrize("name", ["p95_latency", "p95_latency_ms", "latency_p95_ms"])
def test_other_names_of_a_latency_mean_the_same_and_are_kept(name):
    condition = condition_of(CONDITION | {"metric": name})
    assert condition.measure.name == "latency_p95"
    assert shown(condition)["metric"] == name


def test_every_alias_is_of_a_metric():
    assert {metric_named(alias).name for alias in ALIASES} < METRICS.keys()


REFUSED = [
    ("name", {"name": None}), ("name", {"name": ""}), ("name", {"name": "x" * 121}), ("name", {"name": "a\nb"}),
    ("condition", {"condition": None}), ("condition", {"condition": "p95 > 5"}),
    ("channels", {"channels": None}), ("channels", {"channels": []}), ("channels", {"channels": "slack"}),
    ("channels[0]", {"channels": ["sms"]}), ("channels[1]", {"channels": ["slack", {"type": "sms", "target": "1"}]}),
    ("channels[0].target", {"channels": [{"type": "slack", "target": ""}]}),
    ("channels[0].colour", {"channels": [{"type": "slack", "target": "#ops", "colour": "red"}]}),
    ("channels[0]", {"channels": [3]}),
    ("severity", {"severity": "bad"}), ("enabled", {"enabled": 1}), ("repeat_interval", {"repeat_interval": "soon"}),
    ("colour", {"colour": "red"}),
]  # fmt: skip
REFUSED_CONDITIONS = [
    ("metric", {"metric": None}), ("metric", {"metric": "p97"}), ("threshold", {"threshold": None}),
    ("threshold", {"threshold": "5"}), ("threshold", {"threshold": True}), ("threshold", {"threshold": float("nan")}),
    ("window", {"window": None}), ("window", {"window": "29s"}), ("window", {"window": "25h"}),
    ("window", {"window": "soon"}),
    ("window", {"window": ""}), ("window", {"window": 150}), ("window", {"window": -60}), ("window", {"window": True}),
    ("operator", {"operator": "="}), ("min_requests", {"min_requests": 0}), ("min_requests", {"min_requests": 1.5}),
    ("for", {"for": "8d"}), ("keep_firing_for", {"keep_firing_for": "x"}), ("group_by", {"group_by": "host"}),
    ("no_data", {"no_data": "page"}), ("on_error", {"on_error": "page"}), ("service", {"service": ""}),
    ("apdex_threshold_ms", {"apdex_threshold_ms": 0}), ("colour", {"colour": "red"}),
    ("operation", {"metric": "new_error", "operation": "GET /"}),
    ("group_by", {"metric": "new_error", "group_by": "endpoint"}),
    ("min_requests", {"metric": "error_occurrences", "min_requests": 5}),
    ("metric", {"query": "{ status = error } | rate()"}),
    ("query", {"metric": None, "query": "{ status = "}),
    ("query", {"metric": None, "query": "{ true } | histogram_over_time(duration)"}),
    ("service", {"metric": None, "query": "{ status = error } | rate()"}),
    ("threshold", {"metric": None, "service": None, "query": "{ status = error } | rate() > 2"}),
]  # fmt: skip


@pytest.mark.parametrize(("param", "change"), REFUSED, ids=str)
def test_what_is_no_rule_is_refused_by_its_field(param, change):
    with pytest.raises(InvalidParameter) as refused:
        rule_of(RULE | change)
    assert refused.value.param == param
    assert str(refused.value).startswith(param.rpartition(".")[0] or param)


@pytest.mark.parametrize(("param", "change"), REFUSED_CONDITIONS, ids=str)
def test_what_is_no_condition_is_refused_by_its_field(param, change):
    with pytest.raises(InvalidParameter) as refused:
        rule_of(RULE | {"condition": CONDITION | change})
    assert refused.value.param == f"condition.{param}"
    assert str(refused.value).startswith(refused.value.param)


def query(text, **more):
    return condition_of({"query": text, "window": "5m", **more})


def test_a_query_may_have_the_comparison_itself():
    condition = query("{ status = error } | rate() >= 2")
    assert (condition.operator, condition.threshold, condition.measure.unit) == (">=", 2.0, "")
    slow = query("{ true } | quantile_over_time(duration, .99) by(service.name) > 2s")
    assert (slow.operator, slow.threshold, slow.measure.unit, slow.measure.is_count) == (">", 2.0, "s", False)
    assert condition_of(shown(slow)) == slow


def test_a_query_of_traces_counts_the_spans_that_it_means():
    condition = query('service.name = "api-gateway" AND duration > 100ms', threshold=5)
    assert condition.counts_query.metric.function == "count_over_time"
    assert condition.measure.is_count
    assert condition.traces_query.metric is None


@pytest.mark.parametrize(("operator", "holding"), [(">", [6]), (">=", [5, 6]), ("<", [4]), ("<=", [4, 5])])
def test_a_condition_holds_on_its_side_of_the_threshold(operator, holding):
    condition = condition_of(CONDITION | {"operator": operator, "threshold": 5})
    assert [value for value in (4, 5, 6) if condition.holds(value)] == holding


@pytest.mark.parametrize("number", [0, 1, 59, 60, 61, 3600, 5400, 86399, 86400, 90061])
def test_durations_come_back_from_their_text(number):
    assert seconds("window", text_of(number)) == number
