"""An attribute that gets a column of its own is in it from then on, and in every answer from the beginning."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import click.testing
import orjson
import pytest
from deltalake import DeltaTable
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

import lake
from api.commands.promote import promote as command
from lake.compaction import Compactor
from lake.errors import InvalidParameter
from lake.folder import open_folder
from lake.promotion import promote
from lake.rewrite import Hour, rewrite
from lake.schema import PROMOTED, PROMOTED_CODES, Promoted
from lake.tables import Partition
from lake.wire import otlp
from tests.lake.checks import DISK
from tests.lake.spans import START, nanoseconds, rows_of

HOUR = Partition(START.date(), START.hour)


def refused(lake_folder, key, **known):
    """The parameter that is refused, and why; the lake stays as it was."""
    before = (lake_folder.path / "lake.json").read_bytes()
    with pytest.raises(InvalidParameter) as error:
        promote(lake_folder, key, **known)
    assert (lake_folder.path / "lake.json").read_bytes() == before
    return error.value.param, str(error.value)


# What is recorded


@pytest.mark.parametrize(
    ("key", "column"),
    [
        ("tenant", "tenant"),
        ("customer.tier", "customer_tier"),
        ("Customer-Tier", "customer_tier"),
        ("app.feature.flag[0]", "app_feature_flag_0"),
        (".odd..key.", "odd_key"),
        ("größe.a", "gr_e_a"),
    ],
)
def test_the_column_is_named_after_the_key(lake_folder, key, column):
    assert promote(lake_folder, key) == Promoted(column, key, "+", "span")
    assert open_folder(lake_folder.path).promoted[-1] == Promoted(column, key, "+", "span")


def test_every_promotion_of_a_place_gets_the_next_free_character(lake_folder):
    codes = [promote(lake_folder, f"k{i}").code for i in range(3)]
    used = {p.code for p in PROMOTED if p.where == "span"}
    assert codes == [code for code in PROMOTED_CODES if code not in used][:3]
    first = promote(lake_folder, "k0", where="resource", column="other", type="i")
    assert first == Promoted("other", "k0", "9", "resource", "i")


def test_when_every_character_is_used_no_more_can_be_promoted(lake_folder):
    free = len(PROMOTED_CODES) - sum(p.where == "span" for p in PROMOTED)
    for number in range(free):
        promote(lake_folder, f"k{number}")
    codes = [p.code for p in open_folder(lake_folder.path).promoted if p.where == "span"]
    assert sorted(codes) == sorted(PROMOTED_CODES)
    param, message = refused(lake_folder, "one.more")
    assert param == "key"
    assert f"{len(PROMOTED_CODES)} attributes of a span have columns and no more can" in message
    assert promote(lake_folder, "one.more", where="resource").column == "one_more"


@pytest.mark.parametrize(
    ("key", "known", "param", "reason"),
    [
        ("", {}, "key", "1 to 256 characters"),
        ("k" * 257, {}, "key", "1 to 256 characters"),
        ("http.route", {}, "key", "has the column 'http_route' already"),
        ("http.method", {}, "key", "has the column 'http_method' already"),  # an older name of it
        ("service.name", {"where": "resource"}, "key", "has the column 'service_name' already"),
        ("name", {}, "column", "'name' is taken: choose another one with --column"),
        ("http_route", {}, "column", "'http_route' is taken"),
        ("day", {}, "column", "'day' is taken"),
        ("service.name", {}, "column", "'service_name' is taken"),
        ("k", {"column": "attributes"}, "column", "'attributes' is taken"),
        ("k", {"column": "Big"}, "column", "have only a-z, 0-9 and _"),
        ("k", {"column": "1st"}, "column", "must begin with a letter"),
        ("k", {"column": "_hidden"}, "column", "must begin with a letter"),
        ("k", {"column": "a b"}, "column", "have only a-z, 0-9 and _"),
        ("k", {"column": 'a"b'}, "column", "have only a-z, 0-9 and _"),
        ("k", {"column": "c" * 64}, "column", "at most 63"),
        ("42", {}, "column", "choose one with --column"),
        ("漢", {}, "column", "choose one with --column"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(lake_folder, key, known, param, reason):
    found = refused(lake_folder, key, **known)
    assert found[0] == param
    assert reason in found[1]


def test_a_key_is_promoted_once(lake_folder):
    promote(lake_folder, "tenant")
    assert refused(lake_folder, "tenant", column="other") == (
        "key",
        "key 'tenant' of a span has the column 'tenant' already",
    )
    assert refused(lake_folder, "Tenant")[0] == "column"
    assert promote(lake_folder, "tenant", where="resource", column="resource_tenant").code == "9"


def test_promotions_at_the_same_time_are_all_recorded(lake_folder):
    script = "import sys, pathlib; from lake.folder import open_folder; from lake.promotion import promote;" \
             "promote(open_folder(pathlib.Path(sys.argv[1])), sys.argv[2])"  # fmt: skip
    command = [sys.executable, "-c", script, str(lake_folder.path)]
    others = [subprocess.Popen([*command, f"process.{number}"]) for number in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: promote(lake_folder, f"thread.{number}"), range(8)))
    assert [other.wait() for other in others] == [0, 0]
    promoted = open_folder(lake_folder.path).promoted[len(PROMOTED) :]
    assert len({p.key for p in promoted}) == len({p.code for p in promoted}) == 10


# What answers show


TENANTS = {
    "text": AnyValue(string_value="a"),
    "integer": AnyValue(int_value=12),
    "digits": AnyValue(string_value="12"),
    "double": AnyValue(double_value=2.6),
    "nothing": AnyValue(),
}


def body(number, attributes, resource=()):
    """A request of one span."""
    begin = nanoseconds(START) + number
    span = Span(trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=f"{number}",
                start_time_unix_nano=begin, end_time_unix_nano=begin + 5, attributes=attributes)  # fmt: skip
    spans = ResourceSpans(resource=Resource(attributes=resource), scope_spans=[ScopeSpans(spans=[span])])
    return ExportTraceServiceRequest(resource_spans=[spans])


NAME = [KeyValue(key="service.name", value=AnyValue(string_value="shop"))]


def sent(key, value):
    return [KeyValue(key="before", value=AnyValue(string_value="b")), KeyValue(key=key, value=value),
            KeyValue(key="after", value=AnyValue(bool_value=True))]  # fmt: skip


@pytest.fixture
def put(lake_folder, landing):
    """Lands a request as a server does that knows the promotions of now."""

    def put(request):
        rows, _ = rows_of([request.SerializeToString()], promoted=open_folder(lake_folder.path).promoted)
        landing.put_table("spans", rows)
        return request

    return put


ODD_KEY = 'ten\'ant "x" $y {z}'


@pytest.mark.parametrize(("key", "where"), [("order", "span"), (ODD_KEY, "span"), (ODD_KEY, "resource")])
def test_older_and_newer_spans_answer_alike_through_every_stage(lake_folder, put, key, where):
    """Data files and landing files of before, landing files of after, and a compactor that began before."""
    compactor = Compactor(lake_folder, disk=DISK)
    requests = {}

    def put_one(number):
        attributes = sent(key, AnyValue(string_value=f"t{number}"))
        requests[number] = put(body(number, attributes, NAME) if where == "span" else body(number, (), attributes))

    with lake.open(lake_folder.path) as opened:
        put_one(1)
        compactor.absorb()
        put_one(2)
        column = promote(lake_folder, key, where=where).column
        put_one(3)

        def check():
            query = f"SELECT name, \"{column}\" AS value FROM spans WHERE \"{column}\" IN ('t1', 't3') ORDER BY 1"
            assert opened.sql(query).rows() == [{"name": "1", "value": "t1"}, {"name": "3", "value": "t3"}]
            values = opened.spans().pl().sort("name")[column].to_list()
            assert values == [f"t{number}" for number in requests]
            for number, request in requests.items():
                id_ = f"{number:032x}"
                rows = opened.trace(id_).arrow()
                assert rows.column(column).to_pylist() == [f"t{number}"]
                exported = otlp.export_protobuf(rows, opened.folder.promoted)
                assert ExportTraceServiceRequest.FromString(exported) == request
                view = opened.trace_view(id_)
                assert view is not None
                shown = orjson.loads(view.spans)[0]["attributes" if where == "span" else "resource"]
                assert shown == {"before": "b", key: f"t{number}", "after": True}

        check()
        compactor.absorb()
        check()
        put_one(4)
        compactor.absorb()
        rewrite(compactor, Hour("spans", HOUR))
        check()
    stored = DeltaTable(lake_folder.path / "spans").to_pyarrow_table().sort_by("name")
    assert stored.column(column).to_pylist() == [None, None, "t3", "t4"]


@pytest.mark.parametrize(("type_", "expected"), [("s", ["a", "12", "12", "2.6", None]), ("i", [None, 12, 12, None, None])])
def test_an_older_value_is_in_the_column_if_a_newer_one_would_be(lake_folder, put, type_, expected):
    for number, value in enumerate(TENANTS.values()):
        put(body(10 + number, sent("tenant", value)))
    promote(lake_folder, "tenant", type=type_)
    for number, value in enumerate(TENANTS.values()):
        put(body(20 + number, sent("tenant", value)))
    with lake.open(lake_folder.path) as opened:
        values = opened.sql("SELECT tenant FROM spans ORDER BY name").arrow().column("tenant").to_pylist()
    assert values == expected + expected


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1, 0, -5])
def test_integers_of_any_size_are_in_an_integer_column(lake_folder, put, number):
    put(body(1, sent("size", AnyValue(int_value=number))))
    promote(lake_folder, "size", type="i")
    put(body(2, sent("size", AnyValue(int_value=number))))
    with lake.open(lake_folder.path) as opened:
        assert opened.sql("SELECT DISTINCT size FROM spans").rows() == [{"size": number}]


def test_an_open_lake_and_a_table_that_is_empty_know_the_column(lake_folder):
    with lake.open(lake_folder.path) as opened:
        Compactor(lake_folder, disk=DISK).log("spans")
        promote(lake_folder, "tenant")
        assert "tenant" in opened.sql("SELECT * FROM spans").columns


def test_several_promotions_are_several_columns(lake_folder, put):
    compactor = Compactor(lake_folder, disk=DISK)
    for number, key in enumerate(("a", "b", "c")):
        put(body(number + 1, [KeyValue(key=k, value=AnyValue(string_value=k)) for k in "abc"]))
        compactor.absorb()
        promote(lake_folder, key)
    with lake.open(lake_folder.path) as opened:
        assert opened.sql("SELECT a, b, c FROM spans").rows() == [{"a": "a", "b": "b", "c": "c"}] * 3
    put(body(9, ()))
    compactor.absorb()
    assert {"a", "b", "c"} < {field.name for field in DeltaTable(lake_folder.path / "spans").schema().fields}


# The command


def test_the_command_promotes(tmp_path):
    folder = lake.folder.create_folder(tmp_path / "shop" / "sandbox")
    options = ["--data", str(tmp_path), "--project", "shop", "--sandbox"]
    run = click.testing.CliRunner().invoke
    told = run(command, ["tenant", *options])
    assert (told.exit_code, told.stdout) == (0, "tenant of every span is the column tenant from now on\n")
    told = run(command, ["k8s.size", "--where", "resource", "--type", "i", "--column", "size", "--json", *options])
    assert orjson.loads(told.stdout) == {
        "column": "size", "key": "k8s.size", "code": "9", "where": "resource", "type": "i", "aliases": [],
    }  # fmt: skip
    assert [p.column for p in open_folder(folder.path).promoted[-2:]] == ["tenant", "size"]
    assert isinstance(run(command, ["tenant", *options]).exception, InvalidParameter)
