"""The command `tracelake`: in this process, which is fast, or in one of its own, as a shell starts it.

Takes   the words of a command line.
Gives   what it printed; `refusal` is the one line of a command that did not do it.
Refuses, as a failed test, output where none belongs, and an error that is not meant to be one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from api.cli import main

TRACELAKE = Path(sys.executable).with_name("tracelake")
_OWN = [name for name in os.environ if name.startswith("TRACELAKE_")]
_NARROW = {"COLUMNS": "40"}
ELSEWHERE = {name: value for name, value in os.environ.items() if name not in _OWN} | _NARROW
"""The environment of this process without what would change the command's defaults, and a narrow terminal."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: object, environment: Mapping[str, str] | None = None) -> Done:
    """Run a command in this process to its end, whatever that is."""
    runner = CliRunner(env=dict.fromkeys(_OWN) | _NARROW | dict(environment or {}))
    result = runner.invoke(main, [str(a) for a in arguments], prog_name="tracelake", catch_exceptions=False)
    return Done(result.exit_code, result.stdout, result.stderr)


def run_alone(*arguments: object, environment: Mapping[str, str] | None = None) -> Done:
    """Run a command in a process of its own."""
    command = [str(TRACELAKE), *map(str, arguments)]
    variables = ELSEWHERE | dict(environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    return Done(done.returncode, done.stdout, done.stderr)


def output(*arguments: object, environment: Mapping[str, str] | None = None) -> str:
    """What a command that succeeds prints; it says nothing on stderr."""
    return output_of(run(*arguments, environment=environment))


def output_of(done: Done) -> str:
    """What a command that has succeeded has printed."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refusal(*arguments: object, environment: Mapping[str, str] | None = None) -> str:
    """The one line that a command says when Tracelake refuses; it prints nothing on stdout."""
    return refusal_of(run(*arguments, environment=environment))


def refusal_of(done: Done) -> str:
    """The one line of a command that has refused."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    [line] = done.stderr.splitlines()
    return line
