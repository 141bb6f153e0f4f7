"""The client knows every route, parameter and field of the API's own description."""

import datetime as dt
import importlib
import inspect
import pkgutil

import msgspec
import pytest

from lake.client import DeployReport, ErrorReport, calls, models, questions
from lake.client.call import Call
from lake.client.models.alerts import AlertCondition, AlertRuleChange, AlertRuleRequest, SilenceRequest
from lake.client.models.nodes import Gauges, NodeChange, NodeRegistration
from tests.lake.spans import START

WITHOUT_A_CALL = {
    ("GET", "/health"), ("POST", "/health"),  # for probes
    ("GET", "/metrics"),  # for Prometheus
    ("POST", "/v1/traces"),  # the other address of /ingest/v1/traces
    ("POST", "/ingest/requests"),  # of the first generation of senders, which have their own clients
}  # fmt: skip

GAUGES = Gauges(**dict.fromkeys(Gauges.__struct_fields__, 1.5))
NODE = NodeRegistration(
    node_id="n", name="n", cluster="c", region="r", version="v", address="a", labels={}, config={}, metrics=GAUGES
)
CHANGE = NodeChange(name="n", cluster="c", labels={}, draining=True)
CONDITION = AlertCondition(metric="apdex", threshold=0.5, window="5m")
RULE = AlertRuleRequest(
    name="n", condition=CONDITION, channels=["slack"], severity="info", enabled=True, repeat_interval="1h"
)
RULE_CHANGE = AlertRuleChange(
    name="n", condition=CONDITION, channels=["slack"], severity="info", enabled=True, repeat_interval="1h"
)
SILENCE = SilenceRequest(rule_id="r", labels={}, starts_at=START, ends_at=START, comment="c")
SAMPLES = {
    "body": b"", "error": ErrorReport(exception_class="E", message="m"), "errors": [], "deploy": DeployReport(version="v"),
    "start_time": START, "end_time": START + dt.timedelta(hours=1), "params": None, "limit": 5, "cursor": "c",
    "scopes": ["read"], "rate_limit": 5, "step": 60.0, "node": NODE, "change": CHANGE, "metrics": GAUGES,
    "rule": RULE, "changes": RULE_CHANGE, "silence": SILENCE, "hours": 5,
}  # fmt: skip
"""Values of arguments; what is not here is sent as its own name in braces."""


def all_modules(package):
    return [importlib.import_module(found.name) for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


def described():
    """Every function that describes a call, by name."""
    for module in all_modules(calls):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield name, function


CALLS = dict(described())


def sample(function):
    """A call with some value for each argument."""
    names = inspect.signature(function).parameters
    values = {name: SAMPLES.get(name, f"{{{name}}}") for name in names if name != "content_type"}
    call = function(**values)
    assert isinstance(call, Call)
    return call.request


def route_of(request):
    return request.method, request.path.replace("%7B", "{").replace("%7D", "}")


@pytest.fixture(scope="module")
def reference(server):
    return server.client.get("/schema/openapi.json").json()


@pytest.fixture(scope="module")
def operations(reference):
    """Every operation by method and path."""
    methods = ("get", "post", "put", "patch", "delete")
    return {
        (method.upper(), path): operation
        for path, item in reference["paths"].items()
        for method, operation in item.items()
        if method in methods
    }


def test_every_route_of_the_reference_has_a_call(operations):
    known = {route_of(sample(function)) for function in CALLS.values()} | {route_of(questions.sql("SELECT 1").request)}
    assert set(operations) - known - WITHOUT_A_CALL == set()
    assert known - set(operations) == set()


@pytest.mark.parametrize("name", CALLS)
def test_every_parameter_of_a_route_is_an_argument_of_its_call(name, operations):
    arguments = set(inspect.signature(CALLS[name]).parameters)
    request = sample(CALLS[name])
    parameters = {parameter["name"] for parameter in operations[route_of(request)].get("parameters", [])}
    assert parameters - arguments - {"format"} == set()  # bytes are asked for by Accept
    assert set(request.query) <= parameters


def test_the_bodies_of_calls_have_all_fields_of_the_reference_and_no_other(reference, operations):
    sent: dict[tuple[str, str], set[str]] = {}
    for request in [*map(sample, CALLS.values()), questions.pinned(questions.sql("SELECT 1", []), "s").request]:
        if request.body and request.path.startswith("/v1/"):
            sent.setdefault(route_of(request), set()).update(msgspec.json.decode(request.body))
    for route, fields in sent.items():
        taken = operations[route]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert fields == set(reference["components"]["schemas"][taken.rpartition("/")[2]]["properties"]), route
    assert len(sent) > 5


def structs():
    apart = {"ErrorReport", "DeployReport", "Page", "SpansSent"}  # sent as docs/ingest.md says, or of several shapes
    for module in all_modules(models):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__ and name not in apart:
                yield kind


@pytest.mark.parametrize("kind", list(structs()), ids=lambda kind: kind.__name__)
def test_a_model_has_every_field_of_the_reference_and_needs_no_other(kind, reference):
    schema = reference["components"]["schemas"][kind.__name__]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    assert set(schema["properties"]) - set(fields) - {"start_time", "end_time"} == set()
    assert {name for name, field in fields.items() if field.required} <= set(schema.get("required", []))
