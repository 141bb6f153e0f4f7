"""`tracelake keys` and `tracelake projects`."""

import json
import re
from pathlib import Path

import pytest

from lake.control import Control
from tests.api.command_line import output, refusal, run


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def made(data, *kinds, project="default"):
    """Keys that are there already."""
    with Control(data) as control:
        control.create_project(project)
        return [control.create_key(project, kind) for kind in kinds]


@pytest.mark.parametrize(("kind", "prefix"), [("ingest", "proj_"), ("live", "mtk_live_"), ("test", "mtk_test_")])
def test_create_prints_the_key_alone_and_it_opens_the_lake(data, kind, prefix):
    printed = output("keys", "create", "--data", data, "--project", "default", "--kind", kind)
    key = printed.removesuffix("\n")
    assert re.fullmatch(prefix + "[0-9a-f]{76}", key)
    with Control(data) as control:
        principal = control.authenticate(key)
    assert principal is not None
    assert (principal.project, principal.kind) == ("default", kind)


def test_a_key_may_have_a_name_a_limit_and_less_to_do(data):
    options = ["--name", "CI", "--scope", "read", "--scope", "sql", "--rate-limit", "10000"]
    created = json.loads(output("keys", "create", "--data", data, "--kind", "live", *options, "--json"))
    assert (created["name"], created["scopes"], created["rate_limit"]) == ("CI", ["read", "sql"], 10_000)
    assert "CI" in output("keys", "list", "--data", data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "ingest", "--scope", "read"], "a key of kind 'ingest' has one or more of ingest"),
        (["--kind", "live", "--name", "a\nb"], "1 to 100 printable characters"),
    ],
)
def test_what_a_key_cannot_have_is_refused(data, options, words):
    assert words in refusal("keys", "create", "--data", data, *options)


@pytest.mark.parametrize("options", [["--rate-limit", "0"], ["--rate-limit", "10001"], ["--scope", "all"]])
def test_a_limit_or_scope_that_there_is_not_is_a_wrong_command_line(data, options):
    assert run("keys", "create", "--data", data, "--kind", "live", *options).returncode == 2


def test_the_key_that_the_reference_prints_can_be_registered(data):
    key = "proj_abc123..."
    assert output("keys", "create", "--data", data, "--kind", "ingest", "--key", key) == key + "\n"
    with Control(data) as control:
        assert control.authenticate(key)


def test_a_malformed_key_of_ones_own_is_refused_with_the_rule(data):
    said = refusal("keys", "create", "--data", data, "--kind", "live", "--key", "proj_abc123...")
    assert "must start with 'mtk_live_'" in said
    assert "abc123" not in said


@pytest.mark.parametrize("named_by", [lambda new: new.key.id, lambda new: new.secret])
def test_a_revoked_key_opens_nothing(data, named_by):
    [new] = made(data, "live")
    assert output("keys", "revoke", "--data", data, named_by(new)) == ""
    with Control(data) as control:
        assert control.authenticate(new.secret) is None


def test_list_shows_ids_and_never_keys_even_on_a_narrow_terminal(data):
    good, revoked = made(data, "live", "test")
    with Control(data) as control:
        control.revoke_key(revoked.key.id)
    printed = output("keys", "list", "--data", data)
    heading, *rows = printed.splitlines()
    assert heading.split() == ["ID", "PROJECT", "KIND", "NAME", "CREATED", "LAST", "USED", "REVOKED"]
    assert [row.split()[:3] for row in rows] == [
        [good.key.id, "default", "live"],
        [revoked.key.id, "default", "test"],
    ]
    assert [row.split()[-1] == "-" for row in rows] == [True, False]
    assert good.secret not in printed


def test_create_as_json_has_the_key_and_what_it_may_do(data):
    created = json.loads(output("keys", "create", "--data", data, "--kind", "ingest", "--json"))
    assert created["key"].startswith(created["id"])
    assert created["scopes"] == ["ingest"]
    assert created["environment"] == "live"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", created["created_at"])
    [listed] = json.loads(output("keys", "list", "--data", data, "--json"))
    assert listed == {name: value for name, value in created.items() if name != "key"}


def test_projects_are_made_listed_and_deleted(data):
    assert output("projects", "create", "shop", "--data", data) == ""
    (data / "shop" / "live").mkdir(parents=True)
    assert [p["name"] for p in json.loads(output("projects", "list", "--data", data, "--json"))] == ["shop"]
    assert output("projects", "list", "--data", data).splitlines()[1].startswith("shop ")
    assert "use force" in refusal("projects", "delete", "shop", "--data", data)
    moved = Path(output("projects", "delete", "shop", "--force", "--data", data).strip())
    assert (moved / "live").is_dir()
    assert json.loads(output("projects", "list", "--data", data, "--json")) == []


def test_the_data_folder_and_the_database_can_come_from_the_environment(data, tmp_path):
    environment = {"TRACELAKE_DATA": str(data), "TRACELAKE_CONTROL_URL": f"sqlite:///{tmp_path}/keys.db"}
    output("projects", "create", "shop", environment=environment)
    assert "shop" in output("projects", "list", environment=environment)
    assert (tmp_path / "keys.db").exists()
    assert not data.exists()


def test_only_default_is_made_unasked_and_only_in_an_empty_folder(data):
    assert "there is no 'shop'" in refusal("keys", "create", "--data", data, "--project", "shop", "--kind", "live")
    made(data, project="shop")
    assert "there is no 'default'" in refusal("keys", "create", "--data", data, "--kind", "live")


@pytest.mark.parametrize("command", [["keys", "list"], ["keys", "revoke", "proj_x"], ["projects", "delete", "x", "--force"]])
def test_a_mistyped_folder_is_named_and_not_made(data, command):
    assert "has no tracelake.db" in refusal(*command, "--data", data)
    assert not data.exists()


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refusal("projects", "create", "shop", "--data", tmp_path / "file" / "data")


def test_a_wrong_command_line_is_exit_code_2():
    done = run("keys", "create", "--kind", "root")
    assert (done.returncode, done.stdout) == (2, "")
