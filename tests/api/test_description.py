"""The server does what its OpenAPI description says, and refuses what it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from lake.control import Control
from tests.api.clients import Client, exception, span
from tests.servers import running

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("description") / "data", workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def key(server):
    """A key that may do all, as often as keys may at most."""
    with Client(server.url, server.ingest_key) as client:
        client.store(span("GET /cart", http_route="/cart", events=[exception("PaymentError", "card refused")]))
        client.post("/ingest/deploys", json={"version": "v1"})
    with Control(server.data) as control:
        return control.create_key("default", "live", rate_limit=10_000).secret


@pytest.mark.parametrize("examples", [2, pytest.param(40, marks=pytest.mark.full)])
def test_the_server_keeps_to_its_description(server, key, tmp_path, examples):
    """Schemathesis, all checks: coverage of the schemas, generated requests, and chains of requests."""
    schemathesis = Path(sys.executable).with_name("schemathesis")
    command = [
        str(schemathesis), "--config-file", str(CONFIG), "run", f"{server.url}/schema/openapi.json",
        "--header", f"Authorization: Bearer {key}", "--checks", "all", "--phases", "coverage,fuzzing,stateful",
        "--max-examples", str(examples), "--seed", "1", "--request-timeout", "60", "--continue-on-failure", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert "0 generated" not in done.stdout
