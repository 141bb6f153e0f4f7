"""`tracelake demo` as a shell starts it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from functools import partial

import pytest

import lake
from api.demo.shop import SHOP
from api.demo.state import State
from tests.servers import DEADLINE_S, PROC, command, free_port, wait_until

FULL_S = 600
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRACELAKE_")}


class Demo:
    """One run of the demo in a data folder."""

    def __init__(self, data, *options, spans=6000):
        self.data = data
        self.output = data.with_name("output")
        self.port = free_port()
        argv = [command(), "demo", "--data", data, "--port", str(self.port), "--spans", str(spans), *options]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                argv, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self.wait()

    def said(self):
        return self.output.read_text()

    def wait_for(self, pattern):
        """The first match of a pattern in what it says."""
        wait_until(lambda: self.has_ended() or re.search(pattern, self.said()) is not None, self.said)
        found = re.search(pattern, self.said())
        assert found, self.said()
        return found

    def has_ended(self):
        return self._process.poll() is not None

    def stop(self, number=signal.SIGINT):
        self._process.send_signal(number)
        return self.wait()

    def wait(self, timeout_s=DEADLINE_S):
        return self._process.wait(timeout_s)

    def left(self):
        """Processes that work on the data folder."""
        mark = f"TRACELAKE_DATA={self.data}".encode()
        return [place.name for place in PROC.iterdir() if place.name.isdigit() and mark in environment_of(place)]


def environment_of(process):
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def counted(data, where="true"):
    with lake.open(data / "default" / "live") as opened:
        return opened.sql(f"SELECT count(*) AS n FROM spans WHERE {where}").rows()[0]["n"]


def has_spans(data, where):
    return counted(data, where) > 0


def noted(data):
    """What the data folder says of the history; before the demo has begun it, that nothing was sent."""
    return State.read(data) or State(0, 0, 0)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A demo that ran until its live traffic came, was stopped by Ctrl-C, and ran again; what was found at each time."""
    data = tmp_path_factory.mktemp("demo") / "data"
    found = []
    for _ in range(2):
        with Demo(data, "--no-lab", spans=30_000) as demo:
            said = demo.wait_for(r"ingest key  (proj_\w+)\n  live key    (mtk_live_\w+)\n\n[^\n]+\n  (curl [^\n]+)\n")
            wait_until(lambda: noted(data).is_complete, demo.said)
            is_live = f"epoch_us(start_time) > {time.time_ns() // 1000}"
            wait_until(partial(has_spans, data, is_live), demo.said)
            answer = asked(said[3])
            code = demo.stop()
            left = demo.left() if PROC.exists() else []
        history = counted(data, f"epoch_us(start_time) < {noted(data).end_ns // 1000}")
        found.append({"keys": said.groups()[:2], "answer": answer, "code": code, "left": left, "history": history})
    return found


def asked(line):
    """What a line for the shell answers; None where there is no curl."""
    if shutil.which("curl") is None:
        return None
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_it_ends_with_ctrl_c_and_leaves_no_process(two_runs):
    assert [(run["code"], run["left"]) for run in two_runs] == [(0, []), (0, [])]


def test_the_line_to_paste_answers_with_traces_of_checkout(two_runs):
    if two_runs[0]["answer"] is None:
        pytest.skip("needs curl")
    traces = two_runs[0]["answer"]["data"]
    assert len(traces) == 3
    assert all("checkout" in trace["services"] for trace in traces)


def test_a_second_run_keeps_the_keys_and_adds_nothing_to_the_history(two_runs):
    first, second = two_runs
    assert second["keys"] == first["keys"]
    assert second["history"] == first["history"] == pytest.approx(30_000, rel=0.05)


def test_ctrl_c_ends_it_while_the_history_is_being_sent(tmp_path):
    data = tmp_path / "data"
    with Demo(data, "--no-lab", spans=1_000_000) as demo:
        wait_until(lambda: demo.has_ended() or noted(data).parts_sent > 0, demo.said)
        assert demo.stop() == 0, demo.said()
        if PROC.exists():
            assert not demo.left()
    assert not noted(data).is_complete
    assert counted(data) > 0


def test_the_check_passes_with_jupyterlab_and_stops_all(tmp_path):
    with Demo(tmp_path / "data", "--check") as demo:
        assert demo.wait(FULL_S) == 0, demo.said()
        assert re.search(r"notebooks   http://127.0.0.1:\d+/lab/tree/\S+\?token=\S+", demo.said())
        if PROC.exists():
            assert not demo.left()
    with lake.open(tmp_path / "data" / "default" / "live") as opened:
        assert len(opened.deploys().rows()) == len(SHOP.deploys)


def test_a_folder_with_somebody_elses_lake_is_refused_in_one_line(tmp_path):
    lake.folder.create_folder(tmp_path / "data" / "default" / "live")
    with Demo(tmp_path / "data", "--no-lab", "--check") as demo:
        assert demo.wait() == 1
        assert demo.said().splitlines() == [
            f"Error: {tmp_path}/data holds a lake that is not the demo's: choose an empty folder with --data"
        ]


@pytest.mark.full
def test_the_check_passes_with_the_whole_history(tmp_path):
    with Demo(tmp_path / "data", "--check", spans=1_000_000) as demo:
        assert demo.wait(FULL_S) == 0, demo.said()
    assert counted(tmp_path / "data") >= 950_000
