"""`tracelake serve` from a shell: keys once, refusals in one line, an orderly end."""

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from api.commands.serve import print_first_keys
from api.settings import ServerSettings
from lake.control import Control
from tests.api.command_line import ELSEWHERE, TRACELAKE, refusal_of, run_alone
from tests.servers import DEADLINE_S, free_port, wait_until


class Served:
    """A running `tracelake serve`."""

    def __init__(self, data, *options, **environment):
        self.port = free_port()
        self.data = data
        self._out, self._err = data.with_name(f"{self.port}.out"), data.with_name(f"{self.port}.err")
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [TRACELAKE, "serve", "--data", data, "--port", str(self.port), *options],
                env=ELSEWHERE | environment, stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip

    def ready(self):
        """What it has said when it says that it answers: on stdout and on stderr."""
        wait_until(lambda: "answers at" in self.said(), lambda: f"never ready: {self.said()}")
        return self._out.read_text(), self.said()

    def said(self):
        """What stands on stderr so far."""
        return self._err.read_text()

    def get(self, path, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=30)

    def post(self, path, key, body):
        return httpx.post(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {key}"}, json=body, timeout=30
        )

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def serve(tmp_path):
    """Starts servers on one data folder and leaves none running."""
    started = []

    def start(*options, **environment):
        started.append(Served(tmp_path / "data", *options, **environment))
        return started[-1]

    yield start
    for served in started:
        if served.process.poll() is None:
            served.stop()


def test_the_first_start_shows_two_keys_and_no_other_start_does(serve):
    """What has no option comes from the environment: here the status of a successful ingest."""
    server = serve("--no-lab", "--workers", "2", TRACELAKE_INGEST_SUCCESS_STATUS="202")
    out, err = server.ready()
    [ingest, live] = re.findall(r"(?:ingest|live): +(\S+)", out)
    assert (ingest[:5], live[:9]) == ("proj_", "mtk_live_")
    assert f"Tracelake answers at http://127.0.0.1:{server.port}" in err
    assert ingest not in err
    assert server.post("/ingest/deploys", ingest, {"version": "v1"}).status_code == 202
    assert server.get("/v1/traces", live).status_code == 200
    assert server.stop() == 0
    with pytest.raises(httpx.ConnectError):
        server.get("/health")

    again = serve("--no-lab")
    assert again.ready()[0] == ""
    assert again.get("/v1/traces", live).status_code == 200
    assert again.stop(signal.SIGINT) == 0


def test_a_folder_with_a_project_prints_no_keys(tmp_path, capsys):
    with Control(tmp_path) as control:
        control.create_project("shop")
    print_first_keys(ServerSettings(data=tmp_path))
    assert capsys.readouterr().out == ""
    with Control(tmp_path) as control:
        assert control.list_keys() == []


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        said = refusal_of(run_alone("serve", "--no-lab", "--data", tmp_path / "data", "--port", port))
    assert f"127.0.0.1:{port}" in said
    assert "choose --port" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "environment", "named"),
    [
        (["--port", "0"], {}, "TRACELAKE_PORT"),
        (["--workers", "0"], {}, "TRACELAKE_WORKERS"),
        ([], {"TRACELAKE_INGEST_SUCCESS_STATUS": "204"}, "TRACELAKE_INGEST_SUCCESS_STATUS"),
        ([], {"TRACELAKE_SPANS_DAYS": "-1"}, "TRACELAKE_SPANS_DAYS"),
        (["--control-url", "nonsense://x"], {}, "control database"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(tmp_path, options, environment, named):
    port = [] if "--port" in options else ["--port", free_port()]
    assert named in refusal_of(
        run_alone("serve", "--no-lab", "--data", tmp_path / "data", *port, *options, environment=environment)
    )


def test_a_secret_that_anybody_could_guess_is_one_line(tmp_path):
    (tmp_path / "cursor.key").write_bytes(b"short")
    assert "cursor.key is damaged: delete it" in refusal_of(
        run_alone("serve", "--no-lab", "--data", tmp_path, "--port", free_port())
    )


def test_the_notebooks_are_told_with_their_token_on_stderr_alone(serve):
    pytest.importorskip("jupyterlab")
    server = serve()
    out, _ = server.ready()
    wait_until(lambda: "Notebooks: " in server.said(), server.said)
    [url] = re.findall(r"Notebooks: (\S+)", server.said())
    token = url.partition("token=")[2]
    assert token
    assert "token=" not in out
    page = server.get("/").text
    assert url.partition("?")[0] in page
    assert token not in page, "the first page is for everybody who can reach the server"


def test_what_starts_the_others_and_waits_loads_neither_arrow_nor_litestar():
    program = "import sys, api.commands.serve; print(sorted({'duckdb', 'litestar', 'pyarrow'} & sys.modules.keys()))"
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout == "[]\n"
