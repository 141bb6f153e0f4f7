from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.alerts.notifications import DeployNote, Notification, Reason, alert_key, new_message_id

BEGAN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FIRING = Notification(
    id="msg_1",
    project="shop",
    environment="live",
    rule_id="rule_8c1d2e3f4a",
    rule_name="High p99 on checkout",
    severity="critical",
    alert_key=alert_key("shop", "live", "rule_8c1d2e3f4a", {"service": "checkout"}),
    labels={"service": "checkout"},
    status="firing",
    reason=None,
    metric="latency_p99",
    operator=">",
    threshold=500.0,
    unit="ms",
    window_s=300,
    query=None,
    value=812.5,
    started_at=BEGAN,
    ended_at=None,
    evaluated_to=BEGAN + timedelta(minutes=5, microseconds=7),
    deploy=DeployNote("deploy_1", "v2", None, BEGAN - timedelta(minutes=2)),
    trace_id="0af7651916cd43dd8448eb211c80319c",
)


texts = st.text(max_size=20)
times = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001
changed = st.builds(
    lambda **fields: replace(FIRING, **fields),
    rule_name=texts,
    labels=st.dictionaries(texts, texts, max_size=3),
    status=st.sampled_from(["firing", "acknowledged", "resolved"]),
    reason=st.sampled_from([None, *get_args(Reason)]),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ended_at=st.none() | times,
    deploy=st.none()
    | st.builds(DeployNote, id=texts, version=st.none() | texts, git_sha=st.none() | texts, deployed_at=times),
)


@given(changed)
def test_a_notification_comes_back_from_its_json_as_it_was(notification):
    assert Notification.from_json(notification.to_json()) == notification


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 1}', FIRING.to_json()[:-1]])
def test_text_that_is_no_notification_is_refused(text):
    with pytest.raises(ValueError, match="no notification"):
        Notification.from_json(text)


@given(st.dictionaries(texts, texts, max_size=3))
def test_the_order_of_labels_does_not_change_an_alert(labels):
    turned = dict(reversed(labels.items()))
    assert alert_key("shop", "live", "rule_1", labels) == alert_key("shop", "live", "rule_1", turned)


def test_different_alerts_have_different_keys():
    alerts = [
        ("shop", "live", "rule_1", {}),
        ("shop", "sandbox", "rule_1", {}),
        ("shoplive", "", "rule_1", {}),
        ("shop", "live", "rule_1", {"service": "a"}),
        ("shop", "live", "rule_1", {"service": "a", "endpoint": "b"}),
        ("shop", "live", "rule_1", {"service": 'a","endpoint":"b'}),
    ]
    assert len({alert_key(*alert) for alert in alerts}) == len(alerts)


def test_an_alert_key_stays_what_it_was():
    assert FIRING.alert_key == "3f693b4c72265f39be08eb58c8565b42"


def test_message_ids_are_new():
    assert new_message_id() != new_message_id()
    assert new_message_id().startswith("msg_")


def test_links_lead_to_the_rule_the_trace_and_a_notebook():
    links = FIRING.links("https://apm.example.com/", "https://lab.example.com/hub/lab?token=secret")
    assert links.rule == "https://apm.example.com/v1/alerts/rules/rule_8c1d2e3f4a"
    assert links.trace == "https://apm.example.com/v1/traces/0af7651916cd43dd8448eb211c80319c"
    assert links.notebook == "https://lab.example.com/hub/lab/tree/01_start.ipynb"


@pytest.mark.parametrize(
    "path", ["", "/", "/lab", "/lab/", "/lab/tree/01_start.ipynb", "/lab/tree/other.ipynb?token=secret#x"]
)
def test_every_address_of_a_lab_leads_to_the_notebook(path):
    assert FIRING.links(None, f"http://127.0.0.1:8888{path}").notebook == "http://127.0.0.1:8888/lab/tree/01_start.ipynb"


def test_nothing_is_linked_that_has_no_address():
    links = FIRING.links(None, None)
    assert (links.rule, links.trace, links.notebook) == (None, None, None)
    assert replace(FIRING, trace_id=None).links("http://apm", None).trace is None
