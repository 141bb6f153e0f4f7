"""Database: the tables of the control database and how it is opened.

Takes   an SQLAlchemy URL; `sqlite_url` makes one of a data folder.
Gives   an engine whose commits are durable, and the tables in it.
Refuses a URL or file that cannot be opened: `ControlError`.

SQLite runs in WAL mode with synchronous=FULL: a key that was shown is there after a power cut, and one that was revoked
stays revoked. Writers begin IMMEDIATE, because a transaction that turns from reading to writing is refused at once when
another one wrote in between, without waiting its turn.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from ..disk import Disk, make_folders_durably
from ..errors import ControlError

FILE_NAME = "tracelake.db"

_BUSY_TIMEOUT_S = 10
_WRITES = "tracelake_writes"

metadata = MetaData()

projects = Table(
    "projects",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("created_at_us", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of the key, hex; the key itself is nowhere
    Column("project", ForeignKey("projects.name"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("last_used_at_us", BigInteger),
    Column("revoked_at_us", BigInteger),
    Column("name", String(100)),
    Column("rate_limit", Integer),
)

error_decisions = Table(
    "error_decisions",
    metadata,
    Column("project", ForeignKey("projects.name"), primary_key=True),
    Column("environment", String(16), primary_key=True),  # live or sandbox
    Column("fingerprint", String(256), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("decided_at_us", BigInteger, nullable=False),
    Column("decided_by", String(32), nullable=False),  # id of a key
)

nodes = Table(
    "nodes",
    metadata,
    Column("project", String(63), primary_key=True),  # empty: a process of the server itself
    Column("environment", String(16), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("name", String(100), nullable=False),
    Column("cluster", String(100), nullable=False),
    Column("region", String(100)),
    Column("version", String(100)),
    Column("address", String(255)),
    Column("started_at_us", BigInteger),
    Column("last_heartbeat_at_us", BigInteger, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    Column("gauges", JSON, nullable=False),
    Column("draining", Boolean, nullable=False),
)


def _taken_in() -> list[Column[int]]:
    """What a node has taken in for one lake."""
    return [Column(name, BigInteger, nullable=False) for name in ("spans_received", "spans_rejected", "bytes_received")]


node_traffic = Table(
    "node_traffic",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("environment", String(16), primary_key=True),
    Column("node", String(64), primary_key=True),
    *_taken_in(),
)

node_minutes = Table(
    "node_minutes",
    metadata,
    Column("project", String(63), primary_key=True),
    Column("environment", String(16), primary_key=True),
    Column("node", String(64), primary_key=True),
    Column("minute", BigInteger, primary_key=True),  # since the Unix epoch
    *_taken_in(),
)


def sqlite_url(data: Path) -> URL:
    """The URL of the database that lies in a data folder."""
    return URL.create("sqlite", database=str(data / FILE_NAME))


def open_database(url: str | URL) -> Engine:
    """Open the database; make it and its tables if they are not there.

    Raises:
        ControlError: it cannot be opened. A password in the URL is not repeated.
    """
    try:
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            _prepare_sqlite(engine)
        with _alone(engine), writing(engine) as connection, connection.begin():
            metadata.create_all(connection)
            _add_columns(connection)
    except (SQLAlchemyError, ImportError) as error:  # ImportError: the URL's driver is not installed
        raise ControlError(f"the control database cannot be opened: {error}") from error
    return engine


def _add_columns(connection: Connection) -> None:
    """Give the tables of an older version the columns that have been added since; they may all be null."""
    for table in metadata.sorted_tables:
        known = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                text = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {text}")


def writing(engine: Engine) -> Connection:
    """A connection whose transactions write."""
    return engine.connect().execution_options(**{_WRITES: True})


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """One process at a time opens a file: two that turn it into WAL mode at once are refused at once, without waiting."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        yield
        return
    folder = os.open(Path(engine.url.database).absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _prepare_sqlite(engine: Engine) -> None:
    if engine.url.database:
        _make_private(Path(engine.url.database))
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)


def _make_private(path: Path) -> None:
    """Create the file for its owner only; SQLite gives its journals the same rights."""
    make_folders_durably(Disk(), path.absolute().parent)
    with suppress(FileExistsError):  # to close one that is there would end the locks that this process has on it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in `_begin`, not when sqlite3 thinks fit
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")
