"""Apart: SQL behind some of the walls of the sandbox, without the check; a process, `python -m tests.lake.sandbox.apart`.

Takes   on standard input a job, statements, and whether the kernel's walls or DuckDB's settings are to hold.
Gives   what came of each statement, as text.
Refuses nothing: what the walls let through is for the test to see.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

import duckdb
import msgspec

from lake.sandbox import answers, child
from lake.sandbox.messages import Job
from lake.sandbox.parent import ZYGOTE_ENVIRONMENT

Wall = Literal["kernel", "duckdb"]


class Task(msgspec.Struct):
    job: Job
    statements: list[str]
    wall: Wall


def tried(job: Job, statements: Sequence[str], wall: Wall) -> list[str]:
    """What comes of statements in a process of its own, or in several: some end theirs, and the next goes on behind them."""
    outcomes: list[str] = []
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ} | ZYGOTE_ENVIRONMENT
    while len(outcomes) < len(statements):
        done = subprocess.run(
            [sys.executable, "-m", "tests.lake.sandbox.apart"],
            input=msgspec.json.encode(Task(job, list(statements[len(outcomes) :]), wall)),
            env=environment,
            capture_output=True,
            check=False,
        )
        found = [msgspec.json.decode(line, type=str) for line in done.stdout.splitlines()]
        assert found or done.returncode < 0, done.stderr.decode()
        outcomes += found if done.returncode == 0 else [*found, "ended its process"]
    return outcomes


_SMALL: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "async_threads": 1,
    "memory_limit": "256MiB",
    "temp_directory": "",
}
"""What DuckDB needs to start within the address space; nothing of it keeps a file from anybody."""


def main() -> None:
    """Do the task on standard input."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    answers.load()
    if task.wall == "kernel":
        child.give_up(task.job)
        connection = duckdb.connect(":memory:", config=_SMALL)
    else:
        os.chdir(task.job.folder)
        connection = child.connect(task.job, {})
    for statement in task.statements:
        sys.stdout.buffer.write(msgspec.json.encode(_outcome(connection, statement)) + b"\n")
        sys.stdout.flush()
    os._exit(0)


def _outcome(connection: duckdb.DuckDBPyConnection, statement: str) -> str:
    try:
        result = connection.cursor().execute(statement)  # one that begins a transaction begins its own
        return f"answered {result.fetchall() if result else None}"  # of no statement nothing comes
    except (duckdb.Error, RuntimeError, ValueError) as error:
        return f"refused {error}"


if __name__ == "__main__":
    main()
