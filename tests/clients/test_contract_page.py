"""The three commands of MiniAPM's API reference, pasted as they are printed there.

The page's text reached us without its line breaks, so a backslash that ends a line stands before the next word.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

import lake

ERROR = """
curl -X POST http://localhost:3000/ingest/errors \\ -H "Authorization: Bearer proj_abc123..." \\ \
-H "Content-Type: application/json" \\ -d '{ "error_type": "RuntimeError", "message": "Something went wrong", \
"backtrace": ["app/models/user.rb:42:in `save`"] }'
"""
DEPLOY = """
curl -X POST http://localhost:3000/ingest/deploys \\ -H "Authorization: Bearer proj_abc123..." \\ \
-H "Content-Type: application/json" \\ -d '{ "version": "v1.2.3", "git_sha": "abc123def", "deployer": "github-actions" }'
"""
HEALTH = "curl http://localhost:3000/health"

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


def paste(server, command: str) -> dict[str, str]:
    """The body that the command prints in a shell, with the user's own address and key; it must come with 200."""
    command = command.strip().replace(" \\ ", " \\\n  ").replace("proj_abc123...", server.ingest_key)
    command = command.replace("http://localhost:3000", server.url) + " --silent --show-error --write-out '\\n%{http_code}'"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    body, _, status = done.stdout.rpartition("\n")
    assert status == "200", done.stdout
    answer: dict[str, str] = json.loads(body)
    return answer


def test_the_error_is_recorded_with_the_line_in_backticks(server):
    answer = paste(server, ERROR)
    assert set(answer) == {"id", "fingerprint"}
    assert answer["id"].startswith("err_")
    with lake.open(server.lake) as opened:
        [error] = opened.sql("SELECT * FROM errors WHERE id = ?", [answer["id"]]).rows()
    assert (error["exception_class"], error["message"]) == ("RuntimeError", "Something went wrong")
    assert error["backtrace"] == ["app/models/user.rb:42:in `save`"]
    assert error["fingerprint"] == answer["fingerprint"]


def test_the_deploy_is_recorded(server):
    answer = paste(server, DEPLOY)
    assert set(answer) == {"id", "version", "deployed_at"}
    assert answer["id"].startswith("deploy_")
    assert answer["version"] == "v1.2.3"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["deployed_at"])
    with lake.open(server.lake) as opened:
        [deploy] = opened.sql("SELECT version, git_sha, deployer FROM deploys WHERE id = ?", [answer["id"]]).rows()
    assert deploy == {"version": "v1.2.3", "git_sha": "abc123def", "deployer": "github-actions"}


def test_the_health_check_prints_the_documented_response(server):
    assert paste(server, HEALTH) == {"status": "ok"}
