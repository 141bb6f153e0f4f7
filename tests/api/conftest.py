"""One server for all tests of the API that do not stop or stress it, and a project of its own for who asks."""

import secrets

import pytest

from lake.control import Control
from tests.api.clients import Client, Project
from tests.servers import running


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Two workers and a scheduler that compacts early, so that tests meet landing files and tables alike."""
    settings = {"TRACELAKE_COMPACTION_FILES": "4", "TRACELAKE_COMPACTION_INTERVAL_S": "1"}
    with running(tmp_path_factory.mktemp("api") / "data", workers=2, settings=settings) as server:
        yield server


@pytest.fixture(scope="session")
def new_project(server):
    """Makes a project with its keys."""
    made = []

    def make():
        project = project_of(server, f"p-{secrets.token_hex(4)}")
        made.append(project)
        return project

    yield make
    for project in made:
        for client in (project.ingest, project.live, project.test):
            client.close()


@pytest.fixture(scope="module")
def project(new_project):
    """A project of the module's own."""
    return new_project()


def project_of(server, name):
    """A project on a server, made if there is none."""
    with Control(server.data) as control:
        if name not in {project.name for project in control.list_projects()}:
            control.create_project(name)
        return Project(
            name, *(Client(server.url, control.create_key(name, kind).secret) for kind in ("ingest", "live", "test"))
        )


@pytest.fixture(scope="session")
def anonymous(server):
    """A client without a key."""
    with Client(server.url) as client:
        yield client
