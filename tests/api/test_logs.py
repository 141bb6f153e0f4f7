"""Whatever is logged, no key is in it."""

import io
import json
import subprocess
import sys

import pytest
import structlog

from api.logs import configure_logging, redact
from lake.control.keys import FAMILIES, new_key


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def stderr():
    """Where lines go: a file or a pipe."""
    return io.StringIO()


@pytest.fixture
def log(monkeypatch, stderr):
    """Logs one event and returns the line that was written."""
    monkeypatch.setattr(sys, "stderr", stderr)
    configure_logging()

    def write(*arguments, **values):
        structlog.get_logger().error(*arguments, **values)
        return stderr.getvalue()

    yield write
    structlog.reset_defaults()


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("before", ["", "Bearer ", '{"key": "', "Bearer%20", "?key=", "'", "a,", "\n"])
def test_a_key_is_cut_to_its_family(kind, before):
    assert redact(f"{before}{new_key(kind)} and more") == f"{before}{FAMILIES[kind].prefix}*** and more"


@pytest.mark.parametrize("key", ["proj_abc123...", "proj_a!b#c$d", "proj_p@ss/word+1=", "proj_a,b;c\"d'e"])
def test_a_key_of_ones_own_choice_is_cut_too(key):
    assert redact(f"key {key} and more") == "key proj_*** and more"


def test_other_words_with_the_prefix_inside_stay():
    assert redact("my_proj_folder and project_1") == "my_proj_folder and project_1"


def test_no_key_is_in_a_line_wherever_it_stood(log):
    key = new_key("live")
    line = log(
        f"event with {key}",
        text=f"Bearer {key}",
        headers={"authorization": f"Bearer {key}", "list": [key, {"deep": key, key: 1}]},
        raw=f"Bearer {key}".encode(),
        error=ValueError(key),
        pair=(key, 1),
    )
    assert key[9:] not in line
    event = json.loads(line)
    assert event["text"] == "Bearer mtk_live_***"
    assert event["level"] == "error"


def test_no_key_is_in_the_text_of_an_exception(log):
    key = new_key("ingest")
    try:
        raise RuntimeError(f"cannot use {key}")
    except RuntimeError as error:
        line = log("failed", exc_info=error)
    assert key[5:] not in line
    assert "cannot use proj_***" in json.loads(line)["exception"]


@pytest.mark.parametrize("stderr", [Terminal()], ids=["terminal"])
def test_a_traceback_on_a_terminal_shows_no_local_variables(log):
    key = new_key("live")
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        line = log("failed", exc_info=error)
    assert key[9:] not in line
    assert "RuntimeError" in line


def test_a_line_is_one_json_object_on_stderr_and_stdout_stays_clean():
    program = (
        "from api.logs import configure_logging; import structlog; configure_logging(); structlog.get_logger().info('on')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert json.loads(line)["event"] == "on"
