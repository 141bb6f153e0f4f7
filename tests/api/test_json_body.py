"""JSON bodies: a struct, or a refusal that names the field."""

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, field

from api.json_body import Body, decode
from api.problems import MissingParameter, problem_of
from lake.errors import InvalidParameter, LakeError


class Condition(Body, kw_only=True, frozen=True):
    metric: str
    threshold: Annotated[float, Meta(ge=0)] = 1.0


class Rule(Body, kw_only=True, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=5)]
    severity: Literal["info", "critical"] | None = "info"
    condition: Condition | None = None
    channels: list[Literal["slack", "email"] | Condition] = field(default_factory=list)
    labels: dict[str, Condition] = field(default_factory=dict)
    extra: Any = None
    limit: Annotated[int, Meta(ge=1, le=9)] = 5


def test_a_body_is_its_struct():
    rule = decode(b'{"name": "a", "condition": {"metric": "m"}, "channels": ["slack"]}', Rule)
    assert rule == Rule(name="a", condition=Condition(metric="m", threshold=1.0), channels=["slack"])


@pytest.mark.parametrize(
    ("body", "code", "param", "words"),
    [
        (b"", "invalid_json", None, "truncated"),
        (b"{", "invalid_json", None, "truncated"),
        (b"nonsense", "invalid_json", None, "not JSON"),
        (b'{"name": "\xff"}', "invalid_json", None, "not JSON"),
        (b'{"name": NaN}', "invalid_json", None, "not JSON"),
        (b'{"name": "a"} {}', "invalid_json", None, "trailing"),
        (b'{"name": "a", "extra": ' + b'{"a":' * 100_000, "invalid_json", None, "nested too deeply"),
        (b'["name"]', "invalid_json", None, "must be a JSON object"),
        (b"null", "invalid_json", None, "must be a JSON object"),
        (b"{}", "missing_parameter", "name", "'name' is missing"),
        (b'{"name": "a", "condition": {}}', "missing_parameter", "condition.metric", "'condition.metric' is missing"),
        (b'{"name": 1}', "invalid_parameter", "name", "Expected `str`, got `int`"),
        (b'{"name": null}', "invalid_parameter", "name", "Expected `str`, got `null`"),
        (b'{"name": ""}', "invalid_parameter", "name", "length >= 1"),
        (b'{"name": "abcdef"}', "invalid_parameter", "name", "length <= 5"),
        (b'{"name": "a", "limit": 0}', "invalid_parameter", "limit", ">= 1"),
        (b'{"name": "a", "limit": 1.5}', "invalid_parameter", "limit", "Expected `int`"),
        (b'{"name": "a", "limit": 99999999999999999999999}', "invalid_parameter", "limit", "<= 9"),
        (b'{"name": "a", "severity": "bad"}', "invalid_parameter", "severity", "must be one of critical, info"),
        (b'{"name": "a", "channels": ["slack", "fax"]}', "invalid_parameter", "channels[1]", "one of email, slack"),
        (b'{"name": "a", "channels": [{}]}', "missing_parameter", "channels[0].metric", "missing"),
        (b'{"name": "a", "labels": {"x": 1}}', "invalid_parameter", "labels[...]", "Expected `object`"),
        (b'{"name": "a", "nmae": 1}', "invalid_parameter", "nmae", "known are name, severity, condition"),
        (b'{"name": "a", "condition": {"metric": "m", "x": 1}}', "invalid_parameter", "condition.x", "metric, threshold"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_and_what_it_has_to_be(body, code, param, words):
    with pytest.raises(LakeError) as refused:
        decode(body, Rule)
    problem = problem_of(refused.value)
    assert (problem.status, problem.code, problem.param) == (400, code, param)
    assert words in problem.message


def test_a_missing_field_is_an_invalid_parameter_of_its_own_kind():
    assert issubclass(MissingParameter, InvalidParameter)


@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["name", "limit", "condition", "channels", "labels", "metric", "severity", "a`b", "$"]), x)
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_body_is_a_struct_or_refused(body):
    try:
        outcome: object = decode(body, Rule)
    except LakeError as error:
        outcome = problem_of(error).status
    assert outcome == 400 or isinstance(outcome, Rule)
