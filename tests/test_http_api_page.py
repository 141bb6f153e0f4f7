"""The examples of docs/http-api.md, run in a shell against a real server.

Takes   the `sh` blocks of the page, section by section, each with the `json` block that may follow it.
Gives   a test for each section: every block is run as it is printed, and what it prints last looks like the JSON below.

How to add an example: put a `sh` block with curl into a section, and what it answers into a `json` block right below. The
JSON may leave fields out, but what it shows has to be there, of the same type; of a list the first item is compared. An
example whose JSON has `error` has to be refused. A shell knows these variables:

    KEY INGEST_KEY TEST_KEY   keys of a project that has a trace with an error, and a deploy
    TRACE_ID                  that trace: two services, `checkout` and `payments`, a few seconds old
    FINGERPRINT               of the error in that trace
    DEPLOY_ID                 of the deploy
    DELIVERY_ID               of a message about an alert that could not be sent
    ID                        `id` (or `node_id`) of the last answer in the section that had one

`http://localhost:3000` becomes the address of the test's server; a line `KEY=...` in an example is left out.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from api.problems import HTTP_CODES, STATUS
from lake.control import FIRST_PROJECT, Control
from lake.control.database import writing
from scheduler.alerts.channels.channel import Channel
from scheduler.alerts.outbox import Outbox, enqueue
from tests.api.clients import exception, new_trace_id, span
from tests.api.conftest import project_of
from tests.scheduler.alerts.alerts import FIRING
from tests.servers import running, wait_until

PAGE = Path(__file__).parents[1] / "docs" / "http-api.md"
ADDRESS = "http://localhost:3000"

pytestmark = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")


@dataclass(frozen=True)
class Example:
    """Commands of the page, and what they print."""

    commands: str
    answer: Any


def examples():
    """The examples of each section that has some."""
    text = PAGE.read_text()
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    found = {}
    for title, section in zip(sections[::2], sections[1::2], strict=True):
        blocks = re.findall(r"^```sh\n(.*?)^```\n(?:\n```json\n(.*?)^```)?", section, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found[title] = [Example(commands, json.loads(answer) if answer else None) for commands, answer in blocks]
    return found


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """The variables of the examples, for a project that has what they ask for."""
    with running(tmp_path_factory.mktemp("page") / "data", workers=1) as server:
        project = project_of(server, "default")
        trace_id, start_ns = new_trace_id(), time.time_ns() - 5_000_000_000
        root = span("GET /cart", trace_id=trace_id, span_id="1" * 16, start=start_ns, ms=120, http_request_method="GET",
                    http_route="/cart", http_response_status__code=500)  # fmt: skip
        query = span("SELECT carts", trace_id=trace_id, parent="1" * 16, start=start_ns + 1_000_000, ms=5, kind=3,
                     db_system_name="postgresql", db_namespace="shop")  # fmt: skip
        failed = span("charge", trace_id=trace_id, parent="1" * 16, start=start_ns + 10_000_000, ms=100, kind=3, status=2,
                      events=[exception("PaymentError", "card refused")])  # fmt: skip
        deploy = {"version": "v1.2.3", "git_sha": "abc123def", "deployed_at": (start_ns - 60 * 10**9) // 10**9}
        deployed = project.ingest.post("/ingest/deploys", json=deploy)
        assert deployed.status_code == 200
        resource = {"deployment_environment_name": "production", "service_version": "v1.2.3", "git_sha": "abc123def"}
        project.ingest.store(root, query, service="checkout", **resource)
        project.ingest.store(failed, service="payments", **resource)
        keys = {"KEY": server.live_key, "INGEST_KEY": server.ingest_key, "TEST_KEY": server.test_key}
        [error] = project.live.trace(trace_id)["errors"]
        ids = {"TRACE_ID": trace_id, "FINGERPRINT": error["fingerprint"], "DEPLOY_ID": deployed.json()["id"],
               "DELIVERY_ID": dead_message(server)}  # fmt: skip
        yield {"ADDRESS": server.url, **ids, **keys}
        for client in (project.ingest, project.live, project.test):
            client.close()


def dead_message(server):
    """A message to a channel that is not set, given up."""
    message = replace(FIRING, project=FIRST_PROJECT)
    with Control(server.data) as control:
        with writing(control.engine) as connection, connection.begin():
            enqueue(connection, message, [Channel("slack", "#ops")], dt.datetime.now(dt.UTC))
        outbox = Outbox(control.engine)
        dead = lambda: outbox.page(FIRST_PROJECT, "live", status="dead", limit=1)  # noqa: E731
        wait_until(lambda: bool(dead()), lambda: f"the message is not given up\n{server.log_end()}")
        return dead()[0].id


@pytest.mark.parametrize("title", examples())
def test_the_examples_of_a_section_answer_what_the_page_shows(variables, title):
    known = dict(variables)
    if title == "Maintenance":  # the first jobs run when the scheduler is up, which may be later than the API
        [asked, *_] = examples()[title]
        wait_until(lambda: bool(run(asked, dict(variables))["jobs"]), lambda: "no job has run")
    for example in examples()[title]:
        answer = run(example, known)
        if example.answer is not None:
            assert differences(example.answer, answer) == [], f"{example.commands}\nanswered\n{json.dumps(answer, indent=1)}"
        if isinstance(answer, dict) and ("id" in answer or "node_id" in answer):
            known["ID"] = answer.get("id") or answer["node_id"]


def run(example: Example, known: dict[str, str]) -> Any:
    """The JSON that an example's last command prints; a request that is to succeed has to."""
    commands = re.sub(r"^\w*KEY=\w+_\.\.\.\n", "", example.commands, flags=re.MULTILINE).replace(ADDRESS, known["ADDRESS"])
    is_refused = isinstance(example.answer, dict) and "error" in example.answer
    options = "--silent --show-error" + ("" if is_refused else " --fail-with-body")
    script = f'set -euo pipefail\ncurl() {{ command curl {options} "$@"; }}\n{commands}'
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | known, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{example.commands}\n{done.stderr}\n{done.stdout}"
    return json.loads(done.stdout) if example.answer is not None else None


def differences(shown: Any, answered: Any, where: str = "$") -> list[str]:
    """What the page shows and the answer does not have, or has of another type."""
    if shown is None or answered is None:
        return []
    if isinstance(shown, dict) and isinstance(answered, dict):
        missing = [f"{where}.{name} is not in the answer" for name in shown.keys() - answered.keys()]
        common = [name for name in shown if name in answered]
        return missing + [text for name in common for text in differences(shown[name], answered[name], f"{where}.{name}")]
    if isinstance(shown, list) and isinstance(answered, list):
        if shown and not answered:
            return [f"{where} is empty"]
        return differences(shown[0], answered[0], f"{where}[0]") if shown else []
    kinds = {kind(shown), kind(answered)}
    return [] if len(kinds) == 1 else [f"{where} is {kind(answered)}, the page shows {kind(shown)}"]


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    return {int: "a number", float: "a number", str: "a text", dict: "an object", list: "a list"}[type(value)]


@pytest.mark.parametrize(
    ("shown", "answered", "count"),
    [
        ({"a": 1}, {"a": 2.5, "b": 3}, 0),
        ({"a": 1}, {"b": 1}, 1),
        ({"a": 1}, {"a": "1"}, 1),
        ({"a": [{"b": 1}]}, {"a": [{"c": 1}]}, 1),
        ({"a": [{"b": 1}]}, {"a": []}, 1),
        ({"a": []}, {"a": [1]}, 0),
        ({"a": {"b": True}}, {"a": {"b": 1}}, 1),
        ({"a": None}, {"a": "x"}, 0),
    ],
)
def test_what_the_page_shows_and_an_answer_has_not_is_noticed(shown, answered, count):
    assert len(differences(shown, answered)) == count


def test_every_code_of_an_error_is_in_the_table():
    codes = {code for _, code in STATUS.values()} | set(HTTP_CODES.values())
    table = set(re.findall(r"^\| \d{3} \| `(\w+)` \|", PAGE.read_text(), flags=re.MULTILINE))
    assert codes <= table
    assert {"rate_limited", "internal_error", "missing_api_key"} <= table
