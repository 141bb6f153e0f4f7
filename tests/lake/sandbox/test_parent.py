"""The processes of the sandbox: how they come, how they go, and who survives whom."""

import json
import os
import signal
import stat
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lake
from lake.errors import LakeCorrupt, Overloaded, QueryError
from lake.sandbox.messages import Limits
from lake.sandbox.parent import Sandbox, SqlTimeout
from tests.lake.sandbox.conftest import asker, make_lake, question
from tests.servers import PROC, has_ended, wait_until

needs_proc = pytest.mark.skipif(not PROC.exists(), reason="looks at processes in /proc")

SLOW = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
STUBBORN = "SELECT list_reduce(range(30000000), lambda a, b: a + b + 1)"
"""One call of a function, which DuckDB does not interrupt."""


@pytest.fixture
def opened(places):
    with lake.open(places.own) as opened:
        yield opened


@pytest.fixture
def own_sandbox():
    """A sandbox of the test's own, to be rough with."""
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def answered(sandbox, opened, query="SELECT count(*) AS n FROM spans"):
    return json.loads(sandbox.ask(question(opened, query)).content)


def children_of(pid):
    """Processes that a process has forked."""
    found = []
    for place in PROC.iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid:
                found.append(int(place.name))
    return found


def child_of(zygote):
    """The child that works."""
    wait_until(lambda: len([pid for pid in children_of(zygote) if not has_ended(pid)]) == 1, lambda: "no child")
    return next(pid for pid in children_of(zygote) if not has_ended(pid))


def test_no_process_is_there_before_the_first_query(own_sandbox, opened):
    assert own_sandbox.zygote_pid is None
    assert answered(own_sandbox, opened) == [{"n": 3}]
    assert own_sandbox.zygote_pid


@needs_proc
def test_the_zygote_has_one_thread_and_no_file_of_the_server(own_sandbox, opened, tmp_path):
    with (tmp_path / "secret").open("w"):
        answered(own_sandbox, opened)
        zygote = PROC / str(own_sandbox.zygote_pid)
        assert len(list((zygote / "task").iterdir())) == 1
        links = [str(place.readlink()) for place in (zygote / "fd").iterdir()]
        assert not [link for link in links if str(tmp_path) in link or link.endswith(".db")]
        environment = dict(item.split("=", 1) for item in (zygote / "environ").read_text().split("\0") if item)
    known = {"PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TZ", "LC_CTYPE", "ARROW_DEFAULT_MEMORY_POOL",
             "JE_ARROW_MALLOC_CONF", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}  # fmt: skip
    assert set(environment) <= known


def test_a_zygote_that_was_killed_is_started_again(own_sandbox, opened):
    answered(own_sandbox, opened)
    first = own_sandbox.zygote_pid
    os.kill(first, signal.SIGKILL)
    assert answered(own_sandbox, opened) == [{"n": 3}]
    assert own_sandbox.zygote_pid != first


@needs_proc
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child ends at its time only")
def test_a_query_whose_zygote_is_killed_ends_and_is_to_be_asked_again(own_sandbox, opened):
    answered(own_sandbox, opened)
    zygote = own_sandbox.zygote_pid
    wait_until(lambda: children_of(zygote) == [], lambda: "the first child is still there")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(own_sandbox.ask, question(opened, SLOW, limits=Limits(timeout_s=30)))
        child = child_of(zygote)
        os.kill(zygote, signal.SIGKILL)
        with pytest.raises(Overloaded, match="ask again"):
            running.result(timeout=20)
    wait_until(lambda: has_ended(child), lambda: "the child outlives its zygote")
    assert answered(own_sandbox, opened) == [{"n": 3}]


@needs_proc
def test_a_query_that_does_not_end_is_killed_with_its_process(own_sandbox, opened):
    answered(own_sandbox, opened)
    with pytest.raises(SqlTimeout, match=r"longer than 0\.5 s"):
        own_sandbox.ask(question(opened, STUBBORN, limits=Limits(timeout_s=0.5)))
    wait_until(lambda: children_of(own_sandbox.zygote_pid) == [], lambda: "the child is still there")


@needs_proc
def test_a_child_ends_at_its_time_though_nobody_kills_it(own_sandbox, opened):
    """The server is stopped, so to say: nothing but the child's own timer is left."""
    answered(own_sandbox, opened)
    zygote = own_sandbox.zygote_pid
    wait_until(lambda: children_of(zygote) == [], lambda: "the first child is still there")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(own_sandbox.ask, question(opened, STUBBORN, limits=Limits(timeout_s=2)))
        child = child_of(zygote)
        os.kill(zygote, signal.SIGSTOP)
        try:
            wait_until(lambda: has_ended(child), lambda: "the child is still there")
        finally:
            os.kill(zygote, signal.SIGCONT)
        with pytest.raises(SqlTimeout):
            running.result(timeout=20)


@needs_proc
@pytest.mark.skipif(sys.platform != "linux", reason="the limits of Linux")
def test_a_child_may_have_no_more_than_its_limits(own_sandbox, opened):
    answered(own_sandbox, opened)
    zygote = own_sandbox.zygote_pid
    wait_until(lambda: children_of(zygote) == [], lambda: "the first child is still there")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(own_sandbox.ask, question(opened, STUBBORN, limits=Limits(timeout_s=2)))
        child = PROC / str(child_of(zygote))
        # the limits come first and who it is last, and then it works: DuckDB's threads are there
        wait_until(lambda: len(list((child / "task").iterdir())) > 1, lambda: "it does not work yet")
        limits = {line[:26].strip(): line[26:].split()[:2] for line in (child / "limits").read_text().splitlines()}
        status = dict(line.split(":\t", 1) for line in (child / "status").read_text().splitlines())
        with pytest.raises(SqlTimeout):
            running.result(timeout=20)
    assert limits["Max address space"] == [str(2**30)] * 2
    assert limits["Max file size"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max cpu time"] == ["4", "4"]
    assert int(limits["Max open files"][1]) < 100
    assert status["CapEff"] == status["CapPrm"] == "0" * 16
    assert status["NoNewPrivs"] == ("1" if own_sandbox.landlock_abi else "0")
    if os.getuid() == 0:
        assert status["Uid"].split() == status["Gid"].split() == ["65534"] * 4
        assert status["Groups"].split() == []


def test_a_zygote_without_work_goes_and_comes_back(opened):
    sandbox = Sandbox(idle_s=0.2)
    try:
        assert answered(sandbox, opened) == [{"n": 3}]
        first = sandbox.zygote_pid or 0
        wait_until(lambda: has_ended(first), lambda: "the zygote is still there")
        assert answered(sandbox, opened) == [{"n": 3}]
        assert sandbox.zygote_pid != first
    finally:
        sandbox.close()


@needs_proc
def test_nothing_is_left_when_the_sandbox_is_closed_in_the_middle_of_a_query(own_sandbox, opened):
    answered(own_sandbox, opened)
    zygote = own_sandbox.zygote_pid
    wait_until(lambda: children_of(zygote) == [], lambda: "the first child is still there")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(own_sandbox.ask, question(opened, STUBBORN, limits=Limits(timeout_s=30)))
        child = child_of(zygote)
        own_sandbox.close()
        with pytest.raises((Overloaded, QueryError)):
            running.result(timeout=20)
    assert has_ended(zygote)
    assert has_ended(child)


def test_queries_of_several_threads_get_their_own_answers(own_sandbox, opened):
    begin = threading.Barrier(4)

    def ask(number):
        begin.wait()
        return [answered(own_sandbox, opened, f"SELECT {number} AS n, count(*) AS c FROM spans") for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [[[{"n": number, "c": 3}]] * 3 for number in range(4)]


def test_a_file_that_is_gone_is_said_to_be(own_sandbox, tmp_path):
    folder = make_lake(tmp_path / "lake", "shop")
    with lake.open(folder) as opened:
        asked = question(opened, "SELECT * FROM spans")
        next(folder.rglob("*.parquet")).unlink()
        with pytest.raises(LakeCorrupt, match="ask again"):
            own_sandbox.ask(asked)


def test_a_sandbox_that_cannot_start_says_so(opened):
    broken = Sandbox(command=(sys.executable, "-c", "raise SystemExit(1)"))
    with pytest.raises(Overloaded, match="cannot be run at the moment"):
        answered(broken, opened)


AS_SOMEBODY = """
import os
from lake.sandbox import answers, child, zygote
os.setgroups([])
os.setgid(65533)
os.setuid(65533)
zygote.main()
"""
"""A zygote as it is where the server does not run as root."""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else; all other tests run as somebody then")
@pytest.mark.parametrize("landlock_abi", [None, 0])
def test_it_works_for_a_server_that_is_not_root(landlock_abi):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # a folder of root alone would be closed to a server of somebody else too
        lake_folder = make_lake(folder / "lake", "shop")
        sandbox = Sandbox(landlock_abi=landlock_abi, command=(sys.executable, "-c", AS_SOMEBODY))
        try:
            with lake.open(lake_folder) as opened:
                assert answered(sandbox, opened) == [{"n": 3}]
                if PROC.exists():
                    assert (PROC / str(sandbox.zygote_pid)).stat().st_uid == 65533
                with pytest.raises(QueryError):
                    asker(opened, sandbox)("SELECT * FROM read_text('/etc/passwd')")
        finally:
            sandbox.close()


@pytest.mark.skipif(os.getuid() != 0, reason="nobody but root owns folders that are closed to others")
def test_as_root_it_reads_a_lake_in_a_folder_that_is_closed_to_others(places, sandbox, opened):
    assert [parent for parent in places.own.parents if not stat.S_IXOTH & parent.stat().st_mode]
    assert answered(sandbox, opened) == [{"n": 3}]
