import datetime as dt
import multiprocessing
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256

import pytest

from lake.control import Control, Principal
from lake.control.control import LAST_USED_STEP_S, TRUST_S
from lake.errors import ControlError, LakeError, Overloaded

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
CONTRACT_KEY = "proj_abc123..."  # as the ingest reference prints it


class Clock:
    """Monotonic seconds and wall time, moved by hand."""

    def __init__(self):
        self.passed_s = 0.0

    def monotonic_s(self):
        return self.passed_s

    def now(self):
        return NOW + dt.timedelta(seconds=self.passed_s)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def control(tmp_path, clock):
    with Control(tmp_path, monotonic_s=clock.monotonic_s, now=clock.now) as control:
        control.create_project("shop")
        yield control


def elsewhere(data, statement):
    """Run a statement on `control` in a process of its own."""
    program = (
        "import sys; from pathlib import Path; from lake.control import Control\n"
        f"with Control(Path(sys.argv[1])) as control: {statement}"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(data)], check=True, capture_output=True, text=True
    ).stdout.strip()


def everything_on_disk(data):
    return b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())


# A database of an older version

OLD_TABLES = """
CREATE TABLE projects (name VARCHAR(63) NOT NULL, created_at_us BIGINT NOT NULL, PRIMARY KEY (name));
CREATE TABLE keys (
    id VARCHAR(32) NOT NULL, hash VARCHAR(64) NOT NULL, project VARCHAR(63) NOT NULL, kind VARCHAR(16) NOT NULL,
    scopes JSON NOT NULL, created_at_us BIGINT NOT NULL, last_used_at_us BIGINT, revoked_at_us BIGINT,
    PRIMARY KEY (id), UNIQUE (hash), FOREIGN KEY(project) REFERENCES projects (name)
);
CREATE INDEX ix_keys_project ON keys (project);
"""
"""What version 0.1 made before keys had names and limits."""


def test_keys_of_an_older_database_go_on_working(tmp_path):
    old = "mtk_live_" + "0" * 76
    with closing(sqlite3.connect(tmp_path / "tracelake.db")) as database, database:
        database.executescript(OLD_TABLES)
        database.execute("INSERT INTO projects VALUES ('shop', 1)")
        values = (old[:21], sha256(old.encode()).hexdigest(), "shop", "live", '["read"]', 1)
        database.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", values)
    for _ in range(2):  # the second time there is nothing left to do
        with Control(tmp_path) as control:
            principal = control.authenticate(old)
            assert principal is not None
            assert (principal.project, principal.scopes, principal.rate_limit) == ("shop", frozenset(["read"]), None)
            new = control.create_key("shop", "live", name="CI", rate_limit=10_000)
            assert {key.name for key in control.list_keys("shop")} == {None, "CI"}
            limited = control.authenticate(new.secret)
            assert limited is not None
            assert limited.rate_limit == 10_000


def test_several_processes_may_find_an_older_database_at_once(tmp_path):
    folders = [tmp_path / str(number) for number in range(60)]  # without turns, one in ten was refused
    for folder in folders:
        folder.mkdir()
        with closing(sqlite3.connect(folder / "tracelake.db")) as database, database:
            database.executescript(OLD_TABLES)
    processes = multiprocessing.get_context("spawn")
    barrier = processes.Barrier(4)
    openers = [processes.Process(target=_open_each, args=(folders, barrier)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert [opener.exitcode for opener in openers] == [0] * 4


def _open_each(folders, barrier):
    for folder in folders:
        barrier.wait(timeout=20)
        with Control(folder) as control:
            assert control.list_keys() == []


# Projects


def test_projects_are_listed_by_name(control):
    control.create_project("api")
    assert [(p.name, p.created_at) for p in control.list_projects()] == [("api", NOW), ("shop", NOW)]


@pytest.mark.parametrize("name", ["a", "0", "a-b", "x" * 63])
def test_a_project_name_is_lowercase_letters_digits_and_dashes(control, name):
    assert control.create_project(name).name == name


@pytest.mark.parametrize("name", ["", "A", "a_b", "a.b", "../a", "a/b", "-a", "a-", "é", "x" * 64, "a\n", ".deleted"])
def test_another_name_is_refused_with_the_rule(control, name):
    with pytest.raises(ControlError, match=r"project: .* lowercase letters"):
        control.create_project(name)


def test_the_folder_of_the_notebooks_is_no_project(control):
    with pytest.raises(ControlError, match="'notebooks' is the folder of the notebooks"):
        control.create_project("notebooks")


def test_a_name_is_taken_once(control):
    with pytest.raises(ControlError, match="'shop' exists already"):
        control.create_project("shop")


def test_an_empty_folder_gets_the_project_default_once(tmp_path):
    with Control(tmp_path) as control:
        first = control.create_first_project()
        assert first is not None
        assert first.name == "default"
        assert control.create_first_project() is None
        assert control.list_projects() == [first]


def test_where_there_are_projects_none_is_made_unasked(control):
    assert control.create_first_project() is None
    assert [project.name for project in control.list_projects()] == ["shop"]


def test_deleting_needs_force_and_changes_nothing_without(control):
    secret = control.create_key("shop", "live").secret
    with pytest.raises(ControlError, match="use force"):
        control.delete_project("shop")
    assert control.authenticate(secret)


def test_deleting_moves_the_folder_away_and_ends_the_keys(control, tmp_path, clock):
    secret = control.create_key("shop", "live").secret
    assert control.authenticate(secret)
    (tmp_path / "shop" / "live").mkdir(parents=True)
    (tmp_path / "shop" / "live" / "lake.json").write_text("{}")
    moved = control.delete_project("shop", force=True)
    clock.passed_s += TRUST_S
    assert control.authenticate(secret) is None
    assert control.list_projects() == []
    assert control.list_keys() == []
    assert not (tmp_path / "shop").exists()
    assert moved is not None
    assert (moved / "live" / "lake.json").read_text() == "{}"


def test_a_project_of_the_same_name_starts_empty_and_can_be_deleted_again(control, tmp_path):
    moved = []
    for _ in range(2):
        (tmp_path / "shop").mkdir()
        moved.append(control.delete_project("shop", force=True))
        control.create_project("shop")
        assert control.list_keys("shop") == []
    assert moved[0] != moved[1]


def test_a_deletion_that_was_cut_short_can_be_finished(control, monkeypatch, tmp_path):
    secret = control.create_key("shop", "live").secret
    (tmp_path / "shop").mkdir()
    with monkeypatch.context() as broken:
        broken.setattr("lake.disk.Disk.rename", lambda *_: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            control.delete_project("shop", force=True)
    assert control.authenticate(secret) is None
    assert control.delete_project("shop", force=True) is not None
    assert control.list_projects() == []


def test_a_project_without_a_folder_can_be_deleted(control):
    assert control.delete_project("shop", force=True) is None


def test_deleting_an_unknown_project_is_refused(control):
    with pytest.raises(ControlError, match="there is no 'nope'"):
        control.delete_project("nope", force=True)


# Keys


@pytest.mark.parametrize(
    ("kind", "prefix", "environment", "scopes"),
    [
        ("ingest", "proj_", "live", {"ingest"}),
        ("live", "mtk_live_", "live", {"ingest", "read", "sql", "alerts", "admin"}),
        ("test", "mtk_test_", "sandbox", {"ingest", "read", "sql", "alerts", "admin"}),
    ],
)
def test_a_kind_of_key_decides_lake_and_scopes(control, kind, prefix, environment, scopes):
    new = control.create_key("shop", kind)
    assert new.secret.startswith(prefix)
    assert control.authenticate(new.secret) == Principal("shop", kind, environment, frozenset(scopes), new.key.id)


def test_a_key_keeps_256_bits_beside_its_public_id(control):
    new = control.create_key("shop", "live")
    assert new.secret.startswith(new.key.id)
    rest = new.secret.removeprefix(new.key.id)
    assert len(bytes.fromhex(rest)) * 8 == 256


def test_no_two_keys_are_equal(control):
    made = [control.create_key("shop", "ingest") for _ in range(50)]
    assert len({new.secret for new in made}) == len({new.key.id for new in made}) == 50


def test_no_clear_key_is_on_the_disk(control, tmp_path):
    made = [control.create_key("shop", kind) for kind in ("ingest", "live", "test")]
    made.append(control.create_key("shop", "ingest", key=CONTRACT_KEY))
    for new in made:
        assert control.authenticate(new.secret)
    control.revoke_key(made[0].secret)
    content = everything_on_disk(tmp_path)
    assert sha256(made[1].secret.encode()).hexdigest().encode() in content  # the search looks in the right place
    for new in made:
        assert new.secret.encode() not in content
        assert new.secret.removeprefix(new.key.id).encode() not in content


def test_a_key_is_not_in_its_repr(control):
    new = control.create_key("shop", "live")
    assert new.secret not in repr(new)


def test_the_database_is_for_its_owner_only(control, tmp_path):
    control.create_key("shop", "live")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("tracelake.db*")} == {0o600}


def test_commits_are_flushed_to_the_device(control):
    with control._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "proj_",
        "nonsense",
        "mtk_live_" + "0" * 76,
        "proj_\x00",
        "proj_é" * 3,
        "proj_\udcff",
        "proj_" + "a" * 1_000_000,
        "' OR 1=1 --",
        "mtk_live_' OR 1=1 --",
    ],
)
def test_what_is_no_key_opens_nothing(control, key):
    control.create_key("shop", "live")
    assert control.authenticate(key) is None


def test_a_wrong_secret_behind_a_known_id_opens_nothing(control):
    new = control.create_key("shop", "live")
    assert control.authenticate(new.key.id) is None
    assert control.authenticate(new.key.id + "0" * 64) is None
    assert control.authenticate(new.secret + "0") is None
    assert control.authenticate(new.secret.upper()) is None


def test_keys_are_listed_without_their_secret(control):
    control.create_project("api")
    first, second = control.create_key("shop", "live"), control.create_key("api", "ingest")
    assert {key.id for key in control.list_keys()} == {first.key.id, second.key.id}
    assert control.list_keys("api") == [second.key]
    assert second.key.created_at == NOW


def test_a_key_needs_a_project_and_a_kind_that_exist(control):
    with pytest.raises(ControlError, match="there is no 'nope'"):
        control.create_key("nope", "live")
    with pytest.raises(ControlError, match="there is no 'nope'"):
        control.list_keys("nope")
    with pytest.raises(ControlError, match="kind: 'root' must be one of ingest, live, test"):
        control.create_key("shop", "root")


# A key of the operator's own choice


def test_the_key_of_the_reference_can_be_registered(control):
    new = control.create_key("shop", "ingest", key=CONTRACT_KEY)
    assert new.secret == CONTRACT_KEY
    principal = control.authenticate(CONTRACT_KEY)
    assert principal is not None
    assert principal.key_id == new.key.id


def test_the_id_of_a_chosen_key_says_nothing_about_it(control):
    new = control.create_key("shop", "ingest", key=CONTRACT_KEY)
    digest = sha256(CONTRACT_KEY.encode()).hexdigest()
    tail = new.key.id.removeprefix("proj_")
    assert tail not in CONTRACT_KEY
    assert tail not in digest


@pytest.mark.parametrize(
    ("kind", "key", "rule"),
    [
        ("live", "proj_abcdefgh", "must start with 'mtk_live_'"),
        ("ingest", "mtk_live_abcdefgh", "must start with 'proj_'"),
        ("ingest", "", "must start with 'proj_'"),
        ("ingest", "proj_abcdefg", "at least 8 characters"),
        ("ingest", "proj_abc defgh", "printable ASCII"),
        ("ingest", "proj_abcdefgh\n", "printable ASCII"),
        ("ingest", "proj_abcdefghé", "printable ASCII"),
        ("ingest", "proj_" + "a" * 252, "at most 256"),
    ],
)
def test_a_chosen_key_keeps_the_rules_of_its_kind(control, kind, key, rule):
    with pytest.raises(ControlError, match=rule):
        control.create_key("shop", kind, key=key)
    assert control.list_keys() == []


def test_a_chosen_key_belongs_to_one_project_and_stays_revoked(control):
    control.create_project("api")
    control.create_key("shop", "ingest", key=CONTRACT_KEY)
    with pytest.raises(ControlError, match="exists already") as refused:
        control.create_key("api", "ingest", key=CONTRACT_KEY)
    assert CONTRACT_KEY not in str(refused.value)
    control.revoke_key(CONTRACT_KEY)
    with pytest.raises(ControlError, match="is revoked"):
        control.create_key("shop", "ingest", key=CONTRACT_KEY)


# Revoking


def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(control):
    new = control.create_key("shop", "live")
    assert control.authenticate(new.secret)
    assert control.revoke_key(new.key.id).revoked_at == NOW
    assert control.authenticate(new.secret) is None


def test_a_revoked_key_is_refused_within_a_second_in_other_processes(control, tmp_path, clock):
    new, other = control.create_key("shop", "live"), control.create_key("shop", "live")
    assert control.authenticate(new.secret)
    elsewhere(tmp_path, f"control.revoke_key({new.key.id!r})")
    clock.passed_s += TRUST_S
    assert TRUST_S <= 1
    assert control.authenticate(new.secret) is None
    assert control.authenticate(other.secret)


def test_a_good_key_costs_one_look_at_the_database_in_a_second(control, clock, monkeypatch):
    secret = control.create_key("shop", "live").secret
    looks = []
    look_up = control._look_up

    def counted(*key):
        looks.append(key)
        return look_up(*key)

    monkeypatch.setattr(control, "_look_up", counted)
    for _ in range(100):
        assert control.authenticate(secret)
    assert len(looks) == 1
    clock.passed_s += TRUST_S
    assert control.authenticate(secret)
    assert len(looks) == 2


def test_what_is_remembered_needs_no_database(control, clock):
    secret = control.create_key("shop", "live").secret
    assert control.remembered(secret) is None
    principal = control.authenticate(secret)
    assert control.remembered(secret) == principal
    clock.passed_s += TRUST_S
    assert control.remembered(secret) is None
    assert control.remembered("no key at all") is None


def test_a_key_made_by_another_process_works_at_once(control, tmp_path):
    assert control.authenticate(CONTRACT_KEY) is None
    elsewhere(tmp_path, f"control.create_key('shop', 'ingest', key={CONTRACT_KEY!r})")
    assert control.authenticate(CONTRACT_KEY)


def test_revoking_twice_keeps_the_first_time(control, clock):
    new = control.create_key("shop", "live")
    control.revoke_key(new.key.id)
    clock.passed_s = 60
    assert control.revoke_key(new.secret).revoked_at == NOW


def test_revoking_an_unknown_key_is_refused(control):
    with pytest.raises(ControlError, match="key: unknown"):
        control.revoke_key("mtk_live_000000000000")


# When a key was used


def test_use_is_noted_to_the_hour(control, clock):
    secret = control.create_key("shop", "live").secret
    assert control.list_keys()[0].last_used_at is None
    for passed_s, noted_s in [(10, 10), (LAST_USED_STEP_S, 10), (LAST_USED_STEP_S + 10, LAST_USED_STEP_S + 10)]:
        clock.passed_s = passed_s
        assert control.authenticate(secret)
        assert control.list_keys()[0].last_used_at == NOW + dt.timedelta(seconds=noted_s)


def test_a_key_opens_although_its_use_cannot_be_noted(control, tmp_path, caplog):
    new = control.create_key("shop", "live")
    with closing(sqlite3.connect(tmp_path / "tracelake.db")) as other:
        with control._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        other.execute("BEGIN IMMEDIATE")
        assert control.authenticate(new.secret)
    assert control.list_keys()[0].last_used_at is None
    assert f"use of a key not noted key_id={new.key.id}" in caplog.text
    assert new.secret not in caplog.text


def test_a_database_that_cannot_be_read_is_a_passing_fault(control, tmp_path):
    secret = control.create_key("shop", "live").secret
    control.close()
    for path in tmp_path.glob("tracelake.db*"):
        path.unlink()
    (tmp_path / "tracelake.db").mkdir()
    with pytest.raises(Overloaded, match="control database"):
        control.authenticate(secret)


# Several processes, restarts


def test_what_was_made_is_there_after_a_restart(tmp_path):
    with Control(tmp_path / "new" / "data") as control:
        control.create_project("shop")
        secret = control.create_key("shop", "test").secret
    with Control(tmp_path / "new" / "data") as control:
        principal = control.authenticate(secret)
    assert principal is not None
    assert principal.environment == "sandbox"


def make_keys(data, start, made):
    start.wait()
    with Control(data) as control:
        for _ in range(20):
            made.put(control.create_key("shop", "ingest").secret)


def open_and_create(data, start, taken):
    start.wait()
    with Control(data) as control:
        try:
            control.create_project("shop")
        except ControlError:
            taken.put(True)
        else:
            taken.put(False)


def run_twice(target, data, results):
    context = multiprocessing.get_context("spawn")
    start, queue = context.Barrier(2), context.Queue()
    processes = [context.Process(target=target, args=(data, start, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    got = [queue.get(timeout=60) for _ in range(results)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return got


def test_two_processes_make_keys_at_the_same_time_and_none_is_lost(control, tmp_path):
    secrets = run_twice(make_keys, tmp_path, 40)
    assert len(control.list_keys("shop")) == 40
    assert all(control.authenticate(secret) for secret in secrets)


def test_two_processes_that_start_on_an_empty_folder_make_one_database(tmp_path):
    taken = run_twice(open_and_create, tmp_path / "data", 2)
    assert sorted(taken) == [False, True]


def test_the_database_may_lie_elsewhere(tmp_path):
    url = f"sqlite:///{tmp_path}/elsewhere/keys.db"
    with Control(tmp_path / "data", url=url) as control:
        control.create_project("shop")
    assert not (tmp_path / "data").exists()
    assert (tmp_path / "elsewhere" / "keys.db").exists()


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x", "sqlite:////proc/nowhere/keys.db"])
def test_a_database_that_cannot_be_opened_is_refused(tmp_path, url):
    with pytest.raises((ControlError, OSError), match=r"cannot be opened|/proc/nowhere"):
        Control(tmp_path, url=url)


def test_a_password_in_the_url_is_not_repeated(tmp_path):
    with pytest.raises(ControlError) as refused:
        Control(tmp_path, url="nosuch://user:hunter2@host/keys")
    assert "hunter2" not in str(refused.value)


def test_every_refusal_is_an_error_of_the_lake():
    assert issubclass(ControlError, LakeError)
