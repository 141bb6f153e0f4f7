"""One server for all client tests, and the environment that points an OpenTelemetry SDK at it."""

import os

import pytest

from tests.servers import running


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("clients") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def sdk_environment(server):
    """The variables of docs/ingest.md; none of those that this machine may have set for itself."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return own | {
        "OTEL_SERVICE_NAME": "checkout",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{server.url}/ingest",
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{server.ingest_key}",
    }
