"""Messages say what happened in words and figures that people read at once."""

import datetime as dt
from dataclasses import replace

import pytest

from scheduler.alerts.channels import wording
from tests.scheduler.alerts.alerts import FIRING, RESOLVED, of_service

LINKS = FIRING.links("https://traces.example.com", "https://lab.example.com/lab")


@pytest.mark.parametrize(
    ("notifications", "title"),
    [
        ([FIRING], "[critical] p95 of checkout"),
        ([replace(FIRING, rule_name="Slow")], "[critical] Slow: checkout"),
        ([replace(FIRING, rule_name="Slow", labels={"service": "cart", "endpoint": "GET /cart"})],
         "[critical] Slow: cart GET /cart"),
        ([replace(FIRING, labels={})], "[critical] p95 of checkout"),
        ([RESOLVED], "Resolved: p95 of checkout"),
        ([replace(FIRING, status="acknowledged")], "Acknowledged: p95 of checkout"),
        ([of_service("cart"), of_service("pay")], "[critical] p95 of checkout: 2 services"),
        ([replace(FIRING, rule_name="a\r\nBcc: all@example.com\x00")], "[critical] a Bcc: all@example.com: checkout"),
        ([replace(FIRING, rule_name="x" * 300)], f"[critical] {'x' * 138}…"),
    ],
)  # fmt: skip
def test_a_title_says_what_happened_on_one_line(notifications, title):
    assert wording.title(notifications) == title


@pytest.mark.parametrize(
    ("notification", "summary"),
    [
        (FIRING, "checkout: latency_p95 812 ms, above 500 ms over 5 min"),
        (RESOLVED, "checkout: well again after 12 min 30 s"),
        (replace(FIRING, reason="no_data", value=None), "checkout: no data to judge"),
        (replace(RESOLVED, reason="rule_deleted"), "checkout: the rule is gone"),
        (replace(RESOLVED, reason="rule_disabled"), "checkout: the rule is switched off"),
        (replace(RESOLVED, reason="channel_removed"), "checkout: the rule does not tell this channel any more"),
        (replace(FIRING, labels={}, metric="error_rate", unit="ratio", operator=">=", threshold=0.05, value=0.0725),
         "p95 of checkout: error_rate 7.25 %, at or above 5 % over 5 min"),
        (replace(FIRING, query="{ status = error } | rate()", unit="", operator="<", threshold=1, value=None),
         "checkout: { status = error } | rate() no value, below 1 over 5 min"),
    ],
)  # fmt: skip
def test_a_summary_says_value_and_threshold(notification, summary):
    assert wording.summary(notification) == summary


def test_the_facts_are_those_of_the_issue():
    found = {fact.label: (fact.text, fact.url) for fact in wording.facts(FIRING, LINKS)}
    assert found == {
        "Service": ("checkout", None),
        "Value": ("latency_p95: 812 ms over 5 min", None),
        "Threshold": ("> 500 ms", None),
        "Since": ("2026-11-25 09:00:00 UTC", None),
        "Last deploy before": ("v1.2.3 abc123def456, 2026-11-25 08:53:00 UTC", None),
        "Example trace": ("5b8aa5a2d2c872e8321cf37308d69df2", LINKS.trace),
        "Notebook": ("open", LINKS.notebook),
        "Rule": ("p95 of checkout", LINKS.rule),
        "Lake": ("shop/live", None),
    }
    assert None not in (LINKS.trace, LINKS.notebook, LINKS.rule)


def test_what_is_not_known_is_said_or_left_out():
    bare = replace(FIRING, deploy=None, trace_id=None, value=None, labels={})
    found = {fact.label: fact.text for fact in wording.facts(bare, bare.links(None, None))}
    assert found["Last deploy before"] == "none known"
    assert found["Value"] == "latency_p95: none over 5 min"
    assert not found.keys() & {"Service", "Example trace", "Notebook", "Rule", "Until"}
    assert "Until" in {fact.label for fact in wording.facts(RESOLVED, LINKS)}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0, "ms", "0 ms"), (0.00012, "ratio", "0.012 %"), (1, "ratio", "100 %"), (0.999, "ratio", "99.9 %"),
     (1234.5, "per minute", "1,234 per minute"), (99.95, "ms", "100 ms"), (12.34, "ms", "12.3 ms"), (7, "", "7"),
     (-3.5, "", "-3.5"), (0.0000001, "", "1e-07"), (1_234_567, "", "1,234,567")],
)  # fmt: skip
def test_values_have_three_digits_that_count(value, unit, text):
    assert wording.quantity(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (60, "1 min"), (90, "1 min 30 s"), (3600, "1 h"), (7500, "2 h 5 min"),
     (86_400 * 3 + 5, "3 d 5 s"), (-5, "0 s")],
)  # fmt: skip
def test_lengths_of_time_have_their_two_largest_units(seconds, text):
    assert wording.span(dt.timedelta(seconds=seconds)) == text
