"""Which deploy came before what, worked out by hand."""

import datetime as dt

import pytest

import lake
from lake.compaction import Compactor
from lake.deploys import of_trace
from lake.errors import InvalidParameter
from tests.lake.checks import DISK
from tests.lake.rows import deploy
from tests.lake.spans import START, nanoseconds

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
WINDOW = {"since": START - HOUR, "until": START + HOUR}


@pytest.fixture
def opened(lake_folder):
    with lake.open(lake_folder.path) as opened:
        yield opened


@pytest.fixture(params=["landing", "tables"])
def settle(request, lake_folder):
    """Leaves what came in the landing, or absorbs it."""
    return (lambda: None) if request.param == "landing" else Compactor(lake_folder, disk=DISK).absorb


def before(opened):
    """The predecessor of each deploy, newest first."""
    rows = opened.deploy_page(**WINDOW).rows()
    return [(row["id"], row["predecessor"] and row["predecessor"]["id"]) for row in rows]


def test_a_predecessor_is_the_one_before_of_the_same_service_and_environment(opened, landing, settle):
    landing.put(
        "deploys",
        deploy(1, id="a1", service_name="a"),
        deploy(2, id="b1", service_name="b"),
        deploy(3, id="a2", service_name="a", environment="live"),
        deploy(4, id="all1"),
        deploy(5, id="a3", service_name="a"),
        deploy(6, id="all2"),
        deploy(7, id="a4", service_name="a", environment="live"),
    )
    settle()
    assert before(opened) == [
        ("a4", "a2"), ("all2", "all1"), ("a3", "a1"), ("all1", None), ("a2", None), ("b1", None), ("a1", None),
    ]  # fmt: skip


def test_of_deploys_at_the_same_moment_the_id_decides(opened, landing, settle):
    landing.put("deploys", *(deploy(1, id=id_) for id_ in "bca"))
    settle()
    assert before(opened) == [("c", "b"), ("b", "a"), ("a", None)]
    rows = opened.deploy_page(**WINDOW, limit=1, before=(START + SECOND, "c")).rows()
    assert [row["id"] for row in rows] == ["b"]


def test_a_predecessor_may_lie_before_the_window(opened, landing, settle):
    landing.put("deploys", deploy(-9 * 86_400, id="old"), deploy(1, id="new"))
    settle()
    assert before(opened) == [("new", "old")]


def test_a_repeated_key_keeps_what_came_first(opened, landing, settle):
    again = START + SECOND
    landing.put("deploys", deploy(1, id="x", version="2", ingested_at=again), deploy(1, id="x", version="1"))
    settle()
    assert [row["version"] for row in opened.deploy_page(**WINDOW).rows()] == ["1"]
    assert opened.deploy("x")["predecessor"] is None


def test_what_is_not_there_is_none(opened):
    assert opened.deploy("x") is None
    assert opened.deploy_page(**WINDOW).rows() == []


def test_a_time_without_a_zone_is_refused(opened):
    with pytest.raises(InvalidParameter):
        opened.deploy_page(since=dt.datetime(2026, 1, 1), until=START)  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize(
    ("root", "environment", "others", "at_s", "expected"),
    [
        ("a", None, [], 0, None),  # before the first one
        ("a", None, [], 1, "a live"),  # at the very moment
        ("a", "live", [], 9, "all"),  # one of every service is one of `a` as well
        ("a", "live", [], 3, "a live"),
        ("a", "test", [], 3, "a test"),
        ("a", "elsewhere", [], 3, None),
        ("a", "elsewhere", [], 9, "all"),  # it does not say where
        (None, None, [], 3, None),
        (None, None, [], 9, "all"),
        ("c", None, ["b"], 5, "b"),  # none of its own: one of another service of the trace
        ("c", "live", ["b"], 5, "b"),
        ("c", None, ["d"], 5, None),
        ("a", "test", ["b"], 5, "a test"),  # its own counts, however old
    ],
)
def test_the_deploy_of_a_trace_is_worked_out_by_hand(opened, landing, settle, root, environment, others, at_s, expected):
    landing.put(
        "deploys",
        deploy(1, id="a live", service_name="a", environment="live"),
        deploy(2, id="a test", service_name="a", environment="test"),
        deploy(4, id="b", service_name="b"),
        deploy(6, id="all"),
    )
    settle()
    trace = {
        "root": {"service": root, "environment": environment},
        "services": sorted({*([root] if root else []), *others}),
        "start_ns": nanoseconds(START + at_s * SECOND),
    }
    rows = opened.deploy_page(**WINDOW).arrow()
    assert of_trace(rows, trace).column("id").to_pylist() == ([expected] if expected else [])
