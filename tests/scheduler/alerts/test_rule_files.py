"""Rules in a file: what is made, changed and deleted, and what stays."""

import pytest

from lake.errors import InvalidParameter
from scheduler.alerts.rule_files import plan, read_rules
from tests.scheduler.alerts.house import PLACE

SLOW = """
[[rule]]
name = "slow"
channels = ["slack"]
condition = { metric = "latency_p95", threshold = 100, window = "2m", service = "orders", for = "1m" }
"""
ERRORS = """
[[rule]]
name = "errors"
channels = ["email"]
severity = "info"
[rule.condition]
query = "{ status = error } | rate() > 1"
window = "5m"
"""


@pytest.fixture
def file(tmp_path):
    """Writes a file and reads its rules."""

    def read(text):
        path = tmp_path / "rules.toml"
        path.write_text(text)
        return read_rules(path)

    return read


def applied(house, rules):
    return [(change.action, change.name, change.fields) for change in house.store.apply(PLACE, rules)]


def stored(house):
    return {rule.rule.name: rule.origin for rule in house.store.rules(PLACE)}


def test_a_lake_gets_the_rules_of_a_file(house, file):
    house.rule("by hand")
    assert applied(house, file(SLOW + ERRORS)) == [("create", "slow", ()), ("create", "errors", ())]
    assert stored(house) == {"by hand": "api", "slow": "file", "errors": "file"}
    assert applied(house, file(SLOW + ERRORS)) == [("keep", "slow", ()), ("keep", "errors", ())]
    changed = SLOW.replace("100", "200").replace('["slack"]', '["slack", "email"]')
    assert applied(house, file(changed)) == [("update", "slow", ("condition", "channels")), ("delete", "errors", ())]
    assert stored(house) == {"by hand": "api", "slow": "file"}


def test_a_plan_changes_nothing(house, file):
    assert [change.action for change in plan(file(SLOW), house.store.rules(PLACE))] == ["create"]
    assert stored(house) == {}


def test_a_rule_that_was_made_by_hand_is_taken_over_by_its_name(house, file):
    rule = house.rule("slow")
    [(action, _, fields)] = applied(house, file(SLOW))
    assert (action, "origin" in fields) == ("update", True)
    [now] = house.store.rules(PLACE)
    assert (now.id, now.origin, now.rule.condition.hold) == (rule.id, "file", "1m")


def test_what_fires_is_resolved_when_its_rule_leaves_the_file(house, file):
    applied(house, file(SLOW.replace(', for = "1m"', "")))
    house.requests(1, ms=500)
    house.at(2)
    applied(house, file(""))
    assert [(message.status, message.reason) for message, _ in house.messages] == [
        ("firing", None), ("resolved", "rule_deleted"),
    ]  # fmt: skip


def test_two_rules_of_a_name_in_the_lake_are_not_guessed_about(house, file):
    house.rule("slow")
    house.rule("slow")
    with pytest.raises(InvalidParameter, match="several rules of the name 'slow'"):
        applied(house, file(SLOW + ERRORS))
    assert stored(house) == {"slow": "api"}


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("rule = ", "rule"), ("[rule]\nname = 'a'", "rule"), ("[[rules]]\nname = 'a'", "rule"), ("rule = [1]", "rule[1]"),
        (SLOW + SLOW, "name"), (SLOW + SLOW.replace("2m", "1x"), "rule[2].condition.window"),
        (SLOW.replace("slack", "sms"), "rule[1].channels[0]"), ("[[rule]]", "rule[1].name"),
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_is_none_is_refused_by_its_place(file, text, param):
    with pytest.raises(InvalidParameter) as refused:
        file(text)
    assert refused.value.param == param
