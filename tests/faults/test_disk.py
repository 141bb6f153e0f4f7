"""A disk that fails or is full: 503 and never a false promise, and all is well once the disk is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.checker import assert_healthy, assert_settles, check
from tests.faults.load import Ledger, Load, deliver_waiting, make_request
from tests.servers import Server, running, wait_until

DISK_BYTES = 64 * 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory, settings):
    with running(tmp_path_factory.mktemp("disk") / "data", workers=1, settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def ledger():
    """What was sent to `server`."""
    return Ledger()


def retry_after_s(server: Server, ledger: Ledger) -> int:
    """When a request that is refused shall come again."""
    request = ledger.take(lambda: make_request(8))
    headers = server.sending | {"Content-Type": "application/x-protobuf"}
    answer = server.client.post("/ingest/v1/traces", content=request.body, headers=headers)
    ledger.answered(request, answer.status_code)
    assert answer.status_code == 503
    return int(answer.headers["Retry-After"])


@contextmanager
def failing(pid: int, call: str) -> Iterator[None]:
    """Every `call` of a process fails with EIO while the context is open."""
    argv = ["strace", "--quiet=all", "-f", "-p", str(pid), "-e", f"trace={call}", "-e", f"inject={call}:error=EIO"]
    tracer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: is_traced(pid, tracer), lambda: "strace does not attach")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)  # it lets go of the process
        tracer.communicate()


def is_traced(pid: int, tracer: subprocess.Popen[bytes]) -> bool:
    """Whether strace watches every thread of a process."""
    if tracer.poll() is not None:
        assert tracer.stdout is not None
        pytest.skip(f"strace cannot attach to another process: {tracer.stdout.read().decode()}")
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    return all(f"TracerPid:\t{tracer.pid}\n" in task.read_text() for task in tasks)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, to let system calls fail")
@pytest.mark.parametrize("call", ["fdatasync", "rename", "fsync"])
def test_what_the_disk_refuses_is_answered_503_and_never_acknowledged(server, ledger, call):
    """`fsync` is the last step: the file is there, and is not promised; its repeat must count once."""
    [_, worker] = server.processes("api.server")
    with Load(server.url, server.sending, ledger):
        before = len(ledger.acknowledged_now())
        wait_until(lambda: len(ledger.acknowledged_now()) > before + 20, lambda: f"{ledger.statuses}")
    with failing(worker, call):
        acknowledged, refused = ledger.acknowledged_now(), ledger.statuses[503]
        with Load(server.url, server.sending, ledger):
            wait_until(lambda: ledger.statuses[503] > refused + 10, lambda: f"{ledger.statuses}")
        assert ledger.acknowledged_now() == acknowledged
        assert retry_after_s(server, ledger) >= 1
        verdict = check(server.lake, ledger, is_settled=False)
        assert verdict.is_sound, verdict
    deliver_waiting(server.url, server.sending, ledger)
    assert not ledger.unforeseen
    assert_settles(server.lake, ledger)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of `DISK_BYTES`."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs root and mount, for a small disk to fill")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"needs mount, for a small disk to fill: {mounted.stderr}")
    yield place
    unmounted = ["umount", str(place)]
    wait_until(lambda: not subprocess.run(unmounted, check=False).returncode, lambda: used_by(place))


def used_by(place: Path) -> str:
    return subprocess.run(["fuser", "-vm", str(place)], capture_output=True, text=True, check=False).stderr


def fill(disk: Path) -> Path:
    """Take every byte that is free; returns the file that has them."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_on_a_full_disk_ingest_answers_503_and_queries_go_on_until_there_is_space(small_disk, settings):
    ledger = Ledger()
    # without the reserve that ingest keeps free otherwise: the disk shall be full to the last byte
    full = settings | {"TRACELAKE_DISK_FREE_MIN_BYTES": "1"}
    with running(small_disk / "data", settings=full) as server:
        with Load(server.url, server.sending, ledger):
            wait_until(lambda: len(ledger.acknowledged_now()) > 20, lambda: f"{ledger.statuses}")
            ballast = fill(small_disk)
            wait_until(lambda: ledger.statuses[503] > 10, lambda: f"{ledger.statuses}")
            assert retry_after_s(server, ledger) >= 1
            known = ledger.sent[min(ledger.acknowledged_now())]
            assert server.client.get(f"/v1/traces/{known.trace_id}", headers=server.reading).status_code == 200
            verdict = check(server.lake, ledger, is_settled=False)
            assert verdict.is_sound, verdict
            assert_healthy(server.lake)
            ballast.unlink()
            before = len(ledger.acknowledged_now())
            wait_until(lambda: len(ledger.acknowledged_now()) > before + 20, lambda: f"{ledger.statuses}")
        deliver_waiting(server.url, server.sending, ledger)
        assert not ledger.unforeseen
        assert_settles(server.lake, ledger)
