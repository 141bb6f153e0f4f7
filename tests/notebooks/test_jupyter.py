"""JupyterLab starts for whoever has the address, for nobody else, and whatever the user has configured elsewhere."""

from __future__ import annotations

import os
import stat
import sys
import urllib.parse
from pathlib import Path

import pytest

import lake
from lake.folder import create_folder
from notebooks import bundled
from notebooks.jupyter import lab_for
from tests.notebooks.lab import running_lab

HOSTILE_CONFIG = """
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 1
c.ServerApp.allow_remote_access = True
c.ServerApp.disable_check_xsrf = True
c.IdentityProvider.token = ""
c.PasswordIdentityProvider.hashed_password = ""
c.ServerApp.root_dir = "/nowhere"
"""
"""A configuration that opens the door, or breaks it."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab of a user whose own configuration is no help."""
    home = tmp_path_factory.mktemp("home")
    for folder in (".jupyter", ".local/etc/jupyter", "named"):
        (home / folder).mkdir(parents=True)
        for name in ("jupyter_config", "jupyter_server_config", "jupyter_lab_config"):
            (home / folder / f"{name}.py").write_text(HOSTILE_CONFIG)
    environment = {
        "HOME": str(home), "JUPYTER_CONFIG_PATH": str(home / "named"), "JUPYTER_PATH": str(home), "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_PREFER_ENV_PATH": "0",
    }  # fmt: skip
    with running_lab(tmp_path_factory.mktemp("data"), environment) as running:
        yield running


def test_the_address_opens_the_first_notebook(lab):
    address = urllib.parse.urlsplit(lab.lab.url)
    assert address.hostname == "127.0.0.1"
    assert address.path == f"/lab/tree/{bundled.FIRST}.ipynb"
    assert lab.get(f"{address.path}?{address.query}").status_code == 200
    assert lab.get(f"/api/contents/{bundled.FIRST}.ipynb", token=lab.token).status_code == 200


@pytest.mark.parametrize("token", ["", "wrong"])
@pytest.mark.parametrize("path", ["/api/contents", "/api/kernels", "/api/sessions", "/api/config/x"])
def test_without_the_token_nothing_is_answered(lab, path, token):
    assert lab.get(path, token=token).status_code == 403


@pytest.mark.parametrize("path", ["/lab", f"/files/{bundled.FIRST}.ipynb"])
def test_without_the_token_a_page_is_a_login(lab, path):
    answer = lab.get(path)
    assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/login")


def test_another_host_name_is_refused(lab):
    assert lab.get("/api/contents", token=lab.token, host="attacker.example").status_code == 403


def test_a_tunnel_may_call_it_localhost(lab):
    assert lab.get("/api/contents", token=lab.token, host="localhost:9999").status_code == 200


def test_the_token_is_not_among_the_arguments(lab):
    assert len(lab.token) >= 32
    assert not [argument for argument in lab.lab.argv if lab.token in argument]


def test_the_token_is_in_no_log(lab):
    assert lab.token not in lab.log.read_text()


def test_nothing_is_logged_unless_something_is_wrong(lab):
    assert lab.log.read_text() == ""


def test_what_jupyter_remembers_is_for_its_user_only(lab):
    runtime = Path(lab.lab.environment["JUPYTER_RUNTIME_DIR"])
    assert list(runtime.iterdir())
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700


def test_every_start_has_its_own_token_and_port(tmp_path):
    first, second = lab_for(tmp_path), lab_for(tmp_path)
    assert first.environment["JUPYTER_TOKEN"] != second.environment["JUPYTER_TOKEN"]
    assert first.environment["JUPYTER_PORT"] != second.environment["JUPYTER_PORT"]


def test_the_python_of_tracelake_runs_it(tmp_path):
    assert lab_for(tmp_path).argv[0] == sys.executable


def test_notebooks_open_the_lake_of_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TRACELAKE_LAKE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert lab_for(Path("data")).environment["TRACELAKE_LAKE"] == str(tmp_path / "data" / "default" / "live")


def test_in_an_empty_data_folder_there_is_an_empty_lake_to_open(tmp_path, monkeypatch):
    monkeypatch.delenv("TRACELAKE_LAKE", raising=False)
    with lake.open(lab_for(tmp_path / "new").environment["TRACELAKE_LAKE"]) as made:
        assert made.spans().arrow().num_rows == 0


def test_without_a_default_project_notebooks_open_the_lake_of_another(tmp_path, monkeypatch):
    monkeypatch.delenv("TRACELAKE_LAKE", raising=False)
    for project in ("shop", "api"):
        create_folder(tmp_path / project / "live")
    assert lab_for(tmp_path).environment["TRACELAKE_LAKE"] == str(tmp_path / "api" / "live")
    assert not (tmp_path / "default").exists()
    create_folder(tmp_path / "default" / "live")
    assert lab_for(tmp_path).environment["TRACELAKE_LAKE"] == str(tmp_path / "default" / "live")


def test_notebooks_open_another_lake_if_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACELAKE_LAKE", "/elsewhere")
    assert lab_for(tmp_path).environment["TRACELAKE_LAKE"] == "/elsewhere"


def test_the_bundled_notebooks_are_there_before_it_starts(tmp_path):
    lab_for(tmp_path)
    assert (tmp_path / "notebooks" / f"{bundled.FIRST}.ipynb").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_is_warned(tmp_path, capsys):
    lab_for(tmp_path)
    assert "JupyterLab runs as root" in capsys.readouterr().out
