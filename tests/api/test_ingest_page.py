"""The commands in docs/ingest.md do what they say, pasted as they are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

import lake
from tests.servers import running

PAGE = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text()
CI = {
    "GITHUB_SHA": "1" * 40, "GITHUB_REF_NAME": "v1.2.3", "GITHUB_ACTOR": "ada", "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "1",
    "CI_COMMIT_SHA": "2" * 40, "CI_COMMIT_REF_NAME": "v1.2.4", "GITLAB_USER_LOGIN": "bob", "CI_JOB_ID": "8",
    "CI_ENVIRONMENT_NAME": "staging",
}  # fmt: skip
"""What the two services set."""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("page") / "data") as server:
        yield server


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [block for kind, block in fenced if kind == language]


def paste(server, command: str) -> dict[str, str]:
    """What a shell answers to a command of the page, with the address and key of the server."""
    command = re.sub(r"http://localhost:3000|https://tracelake\.example", server.url, command)
    command = command.replace("proj_...", server.ingest_key)
    environment = os.environ | CI | {"TRACELAKE_KEY": server.ingest_key}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=environment, timeout=60)
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def deploy(server, id_: str) -> dict[str, str | None]:
    with lake.open(server.lake) as opened:
        [found] = (
            opened.sql("SELECT * EXCLUDE (deployed_at, ingested_at) FROM deploys WHERE id = ?", [id_]).arrow().to_pylist()
        )
    return dict(found)


def test_the_error_of_the_page_is_stored(server):
    [command] = [block for block in blocks("") if "/ingest/errors" in block]
    answer = paste(server, command)
    with lake.open(server.lake) as opened:
        [error] = opened.errors().arrow().to_pylist()
    assert (error["id"], error["fingerprint"]) == (answer["id"], answer["fingerprint"])
    assert error["backtrace"] == ["app/models/user.rb:42:in `save`"]


def test_the_deploy_of_the_page_is_stored(server):
    [command] = [block for block in blocks("") if "/ingest/deploys" in block]
    found = deploy(server, paste(server, command)["id"])
    assert (found["version"], found["git_sha"], found["deployer"]) == ("v1.2.3", "abc123def", "github-actions")


def test_the_recipe_for_github_actions_records_a_deploy_once(server):
    [recipe] = [block for block in blocks("yaml") if "GITHUB_SHA" in block]
    command = dedent(recipe.partition("run: |\n")[2])
    first, second = paste(server, command), paste(server, command)
    assert first["id"] == second["id"]
    found = deploy(server, first["id"])
    assert (found["git_sha"], found["version"], found["deployer"]) == ("1" * 40, "v1.2.3", "ada")
    assert (found["service_name"], found["environment"]) == ("checkout", "production")


def test_the_recipe_for_gitlab_records_a_deploy(server):
    [recipe] = [block for block in blocks("yaml") if "CI_COMMIT_SHA" in block]
    folded = " ".join(line.strip() for line in recipe.partition(">-\n")[2].splitlines())
    found = deploy(server, paste(server, folded)["id"])
    assert (found["git_sha"], found["version"], found["deployer"]) == ("2" * 40, "v1.2.4", "bob")
    assert found["environment"] == "staging"
