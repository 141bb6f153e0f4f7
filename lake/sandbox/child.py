"""Child: one query, in a process that lives for it.

Takes   a `Job` and the Arrow tables of its views, on the socket it was made for.
Gives   an `Outcome` and the answer in its format; then the process ends.
Refuses what `check` refuses and what DuckDB cannot answer, in words that name no path and no setting.

The order of `give_up` and `connect` is what holds: Landlock restricts a thread and those that it starts later, so it comes
before DuckDB starts any; DuckDB locks its settings last. What each wall is for, and what is left open: docs/sql.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from ..errors import QueryError
from . import check, landlock
from .answers import TooWide, Writer, cast_it, writer_of
from .messages import Column, Job, Limits, Outcome, Problem, receive, send
from .positions import located

GRACE_S = 0.5
"""Seconds after its time when a process ends that did not by itself: no call into DuckDB can put that off."""

_NOBODY = 65534
_DIE_WITH_PARENT, _DUMPABLE = 1, 4
_JOB_MAX_BYTES = 2**30
_BATCH_ROWS = 2048
"""Rows that are fetched at once: DuckDB's own vectors."""
_DESCRIPTORS = 2**16
"""More than a zygote can have: it opens none but those it is handed."""
_MORE_FILES = 64
"""Descriptors beside those of the snapshot's files."""

_SYSTEM = tuple(map(Path, ("/proc/meminfo", "/proc/self/cgroup", "/sys/devices/system/cpu/online", "/sys/fs/cgroup")))
"""What DuckDB asks for its limits when it starts."""


class _Refusal(Exception):
    """A problem with its words."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def run(channel: socket.socket) -> None:
    """Answer the query that comes on the socket."""
    os.environ.clear()
    os.setsid()
    _close_others(channel.fileno())
    job = msgspec.json.decode(receive(channel, max_bytes=_JOB_MAX_BYTES), type=Job)
    tables = {name: receive(channel, max_bytes=_JOB_MAX_BYTES) for name in job.tables}
    answer = b""
    try:
        give_up(job)
        outcome, answer = _answered(job, {name: pa.ipc.open_stream(content).read_all() for name, content in tables.items()})
    except _Refusal as error:
        outcome = Outcome(problem=error.problem, message=_without_paths(str(error), job.folder))
    except Exception:  # nothing else tells: this process has no log
        outcome = Outcome(problem="bug", message=traceback.format_exc())
    send(channel, msgspec.json.encode(outcome))
    send(channel, answer)


def give_up(job: Job) -> None:
    """Leave this process with what the query needs: to read the snapshot's files, some memory, some time."""
    _limit_resources(job.limits, len(job.files))
    try:
        os.chdir(job.folder)  # files are named from here on: the folders above may be closed to the user that comes next
        if os.getuid() == 0:
            _become_nobody()
        if sys.platform == "linux":
            libc = ctypes.CDLL(None)
            libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)  # a change of user would undo it
            libc.prctl(_DUMPABLE, 0, 0, 0, 0)  # the children of others are of the same user, and shall not look in
        if job.landlock:
            system = [path for path in _SYSTEM if path.exists()]
            landlock.restrict(job.landlock, [*map(Path, job.files), *system])
    except FileNotFoundError:
        raise _Refusal("file", _GONE) from None


def _close_others(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, _DESCRIPTORS)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.close(nothing)


def _limit_resources(limits: Limits, files: int) -> None:
    values = {
        resource.RLIMIT_CPU: int(limits.timeout_s) + 2,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: files + _MORE_FILES,
    }
    if sys.platform == "linux":  # macOS maps gigabytes before a program begins, and refuses the limit
        values[resource.RLIMIT_AS] = limits.address_space_bytes
    for what, value in values.items():
        hard = resource.getrlimit(what)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (limit, limit))
    # the kernel ends the process, also when nobody is left who would
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_s + GRACE_S)


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)


def connect(job: Job, tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """DuckDB with the views and nothing else."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "async_threads": 1,
            "memory_limit": f"{job.limits.memory_mib}MiB",
            "temp_directory": "",  # it would be one more folder to read and write
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET errors_as_json = true")
    connection.execute(f"SET allowed_paths = [{', '.join(map(_literal, job.files))}]")
    for name, table in tables.items():
        connection.register(name, table)
    for name, text in job.views.items():
        connection.execute(f"CREATE VIEW {name} AS {text}")
    connection.execute(f"SET max_execution_time = {int(job.limits.timeout_s * 1000)}; SET max_expression_depth = 250")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")  # these two last, in this order
    return connection


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _answered(job: Job, tables: Mapping[str, pa.Table]) -> tuple[Outcome, bytes]:
    with _refusals(job):
        connection = connect(job, tables)
        text = check.checked(job.query, job.names, partial(_parsed, connection), max_rows=job.limits.max_rows)
        relation = _relation(connection, text, job.params)
        columns = _columns(relation)
        reader = relation.to_arrow_reader(_BATCH_ROWS)
        writer = writer_of(job.format, reader.schema, {column.name: column.type for column in columns})
        truncated = _copy(reader, writer, job.limits)
        answer = writer.close()
    return Outcome(columns=columns, row_count=writer.row_count, truncated=truncated), answer


def _relation(
    connection: duckdb.DuckDBPyConnection, text: str, params: dict[str, Any] | list[Any] | None
) -> duckdb.DuckDBPyRelation:
    try:
        return connection.sql(text, params=params)
    except duckdb.Error:
        connection.execute(text, params)  # fails alike, but says where
        raise


_NOTHING = "struct without fields"
_UNKNOWN = frozenset({
    "bit", "time with time zone", "bignum", "uhugeint", "variant", "union", "geometry", "pointer", _NOTHING,
})  # fmt: skip
"""Types of DuckDB that Arrow has no type for, or one that does not hold all of it."""


def _columns(relation: duckdb.DuckDBPyRelation) -> tuple[Column, ...]:
    """
    Raises:
        TooWide: no answer can hold a column.
    """
    for name, type_ in zip(relation.columns, relation.types, strict=True):
        if "\0" in name:
            raise TooWide("the name of a column has a NUL, where names end elsewhere: give it another one")
        if not _UNKNOWN.isdisjoint(_ids(type_)):
            raise TooWide(cast_it(name, str(type_), "an answer"))
    return tuple(map(Column, relation.columns, map(str, relation.types)))


def _ids(type_: object) -> Iterator[str]:
    """The ids of a type of DuckDB and of all that it is made of."""
    if isinstance(type_, duckdb.sqltypes.DuckDBPyType):
        yield type_.id
        if type_.id in _MADE_OF_TYPES:
            if not type_.children:
                yield _NOTHING
            for _, child in type_.children:
                yield from _ids(child)


_MADE_OF_TYPES = ("array", "list", "map", "struct", "tuple", "union")


def _parsed(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    tree: str = connection.execute("SELECT json_serialize_sql($1)", [text]).fetchall()[0][0]
    return tree


def _copy(reader: pa.RecordBatchReader, writer: Writer, limits: Limits) -> bool:
    """Write rows until there are no more or a limit is reached; whether there were more."""
    for batch in reader:
        fitting = batch.slice(0, limits.max_rows - writer.row_count)
        while fitting.num_rows and not writer.write(fitting, max_bytes=limits.max_bytes):
            fitting = fitting.slice(0, fitting.num_rows // 2)
        if not writer.row_count and batch.num_rows:
            raise _Refusal("query", f"one row has more than the {limits.max_bytes} bytes of an answer: select less of it")
        if fitting.num_rows < batch.num_rows:
            return True
    return False


@contextlib.contextmanager
def _refusals(job: Job) -> Iterator[None]:
    """Errors of DuckDB, in words about the query."""
    try:
        yield
    except (QueryError, TooWide) as error:
        raise _Refusal("query", str(error)) from None
    except (MemoryError, pa.ArrowMemoryError):
        raise _Refusal("memory", _memory(job)) from None
    except RecursionError:
        raise _Refusal("query", "the query is nested too deeply") from None
    except (duckdb.Error, OSError, ValueError) as error:  # Arrow's readers pass errors of DuckDB on as those of their own
        raise _named(error, job) from None


_ADVICE = re.compile(r'\s*Use "SET [^\n]*')
"""A setting, which cannot be set here."""
_DETAILS = re.compile(r"\{.*\}", re.DOTALL)


class _Details(msgspec.Struct):
    """What DuckDB says of an error, as JSON."""

    exception_type: str = ""
    exception_message: str = ""
    position: int | None = None
    """In bytes."""


def _named(error: Exception, job: Job) -> _Refusal:
    found = _DETAILS.search(str(error))
    try:
        details = msgspec.json.decode(found[0], type=_Details, strict=False) if found else _Details()
    except msgspec.DecodeError:
        details = _Details()
    kind, message = details.exception_type, details.exception_message or str(error)
    if kind == "INTERRUPT":
        return _Refusal("timeout", "")
    if kind == "Out of Memory" or isinstance(error, duckdb.OutOfMemoryException):
        return _Refusal("memory", _memory(job))
    if kind == "IO":
        return _Refusal("file", _GONE)
    if kind == "Permission":
        return _Refusal("query", f"a query reads the views and nothing else: {', '.join(sorted(job.names))}")
    message = _ADVICE.sub("", re.sub(r"^\w[\w ]* Error: ", "", message))
    place = None if details.position is None else details.position - len(check.PREFIX)
    return _Refusal("query", located(message, job.query, place))


def _memory(job: Job) -> str:
    return (
        f"the query needs more than {job.limits.memory_mib} MiB of memory: ask for fewer rows or columns, or a shorter time"
    )


def _without_paths(message: str, folder: str) -> str:
    """A message that names files from the lake on, and not where the lake lies."""
    return message.replace(f"{folder}/", "").replace(folder, "the lake")


_GONE = "a file of the snapshot is gone or unreadable: ask again, for an old answer's files go in time"
