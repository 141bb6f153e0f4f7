"""What all commands have in common."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import rich_click as click

from api.cli import COMMANDS, loaded
from tests.api.command_line import ELSEWHERE, TRACELAKE, output, output_of, run, run_alone

MODULES = {path.stem for path in Path(importlib.import_module("api.commands").__path__[0]).glob("*.py")}
NO_COMMANDS = {"__init__", "options", "lakes"}


def test_every_command_is_listed():
    assert set(COMMANDS) == MODULES - NO_COMMANDS
    printed = set(output("--help", environment={"COLUMNS": "200"}).replace("│", " ").split())
    assert set(COMMANDS) <= printed


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_its_own_help_begins_with(name):
    command = loaded(name)
    assert command.name == name
    first = (command.help or "").partition("\n\n")[0].replace("\n", " ")
    assert first.startswith(COMMANDS[name])


def test_every_option_says_what_it_is_for():
    groups = [loaded(name) for name in COMMANDS]
    commands = [c for group in groups for c in (group.commands.values() if isinstance(group, click.Group) else [group])]
    options = [
        (command.name, option) for command in commands for option in command.params if isinstance(option, click.Option)
    ]
    assert len(options) > 20
    assert [(name, option.opts) for name, option in options if not (option.help or "").endswith(".")] == []


def imported(*arguments):
    """The top-level modules that a command has imported when it is done."""
    program = (
        "import sys; sys.argv = ['tracelake', *sys.argv[1:]]\n"
        "from api.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('\\n', *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, env=ELSEWHERE
    )
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"duckdb", "polars", "pyarrow", "deltalake", "jupyterlab", "litestar", "granian", "sqlalchemy", "numpy", "pandas"}


def test_the_list_of_commands_loads_none_of_them():
    assert imported("--help") & HEAVY == set()


def test_a_command_loads_what_it_needs(tmp_path):
    assert imported("keys", "list", "--data", str(tmp_path)) & HEAVY == {"sqlalchemy"}


def test_version_is_that_of_the_distribution():
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", output_of(run_alone("--version")))


def test_an_error_of_a_real_process_is_one_line_and_exit_code_1(tmp_path):
    done = run_alone("keys", "list", "--data", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: {tmp_path} has no tracelake.db: check --data, or make a project first\n"


@pytest.mark.parametrize(
    "line",
    ["nothing", "keys nothing", "sql", "--nothing", "sql --format xml 'SELECT 1'", "serve --port http", "notebooks"],
)
def test_a_wrong_command_line_is_exit_code_2_and_says_so_on_stderr(line):
    done = run(*shlex.split(line))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage" in done.stderr


def test_a_reader_who_has_seen_enough_is_no_reason_for_a_traceback(tmp_path):
    data = tmp_path / "data" / "default" / "live"
    data.mkdir(parents=True)
    (data / "lake.json").write_text('{"format_version": 1, "promoted": []}')
    line = f"{TRACELAKE} sql --data {data.parents[1]} --format csv 'SELECT i FROM range(100000) t(i)' | head -n 2"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, env=ELSEWHERE)
    assert done.stdout == "i\n0\n"
    assert done.stderr == ""


def test_a_closed_stdout_is_no_reason_for_a_traceback(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{TRACELAKE} projects create shop --data {tmp_path} --json >&-"],
        capture_output=True, text=True, check=False, env=ELSEWHERE,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
