"""SQL runner: queries of one worker process, from the lake of a key to the sandbox and back.

Takes   a principal, the lake of its project, and what it asks.
Gives   the answer and the snapshot that it was read from, and a line in the log: who, how long, how many rows, what came of
        it. Of the query only its hash is logged, for its values belong to whoever asks.
Refuses SQL where nothing keeps it from the server's files (`SqlUnavailable`), and what `api.admission` and `lake.sandbox`
        refuse.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import structlog

import lake
from lake.control import Principal
from lake.errors import LakeError, Overloaded, QueryError, SnapshotInvalid
from lake.sandbox.messages import Format, Limits
from lake.sandbox.parent import Answer, Question, Sandbox, SandboxBroken, SqlTimeout

from .admission import Admission
from .problems import SqlUnavailable
from .settings import ServerSettings
from .sql_switch import problem

AT_ONCE = 2
"""Queries that run at once in one process."""
WAITING = 8
"""Queries that wait for one of these."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """One query as it was sent."""

    query: str
    params: dict[str, Any] | list[Any] | None
    max_rows: int
    format: Format
    snapshot: str | None
    """Token of the snapshot to ask; None for the newest."""


class SqlRunner:
    """What `POST /v1/sql` needs in one process."""

    def __init__(self, settings: ServerSettings, sandbox: Sandbox) -> None:
        self._settings = settings
        self._sandbox = sandbox
        self._admission = Admission(at_once=AT_ONCE, waiting=WAITING, wait_s=settings.sql_timeout_s)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sql")

    async def run(self, principal: Principal, opened: lake.Lake, asked: Asked) -> tuple[Answer, str]:
        """The answer, and the token of its snapshot.

        Raises:
            SqlUnavailable: see `sql_switch.problem`.
            QueryError: the query is none, or asks for something that it may not have.
            Overloaded: too many queries wait, or it takes too long.
            SnapshotInvalid: there is no such snapshot, or no more.
        """
        if reason := problem(self._settings, self._sandbox.landlock_abi):
            raise SqlUnavailable(reason)
        begun_s = time.monotonic()
        verdict, rows = "failed", 0
        try:
            async with self._admission.place(principal.key_id):
                task = partial(self._answered, opened, asked)
                answer, snapshot = await asyncio.get_running_loop().run_in_executor(self._threads, task)
            verdict, rows = "answered", answer.row_count
            return answer, snapshot
        except LakeError as error:
            verdict = _verdict(error)
            if verdict == "failed":
                log.error("SQL failed", exc_info=error)
            raise
        finally:
            log.info(
                "sql",
                project=principal.project,
                environment=principal.environment,
                key_id=principal.key_id,
                sha256=sha256(asked.query.encode(errors="surrogatepass")).hexdigest(),
                ms=round((time.monotonic() - begun_s) * 1000),
                rows=rows,
                verdict=verdict,
            )

    def _answered(self, opened: lake.Lake, asked: Asked) -> tuple[Answer, str]:
        at = opened.at(asked.snapshot or opened.snapshot())
        views = at.views(asked.query, inside=True)
        limits = Limits(timeout_s=self._settings.sql_timeout_s, max_rows=asked.max_rows)
        question = Question(
            asked.query, str(at.path.resolve()), views.named, views.names, asked.params, asked.format, limits
        )
        return self._sandbox.ask(question), at.snapshot().token

    def close(self) -> None:
        """End what still runs."""
        self._sandbox.close()
        self._threads.shutdown()


def _verdict(error: LakeError) -> str:
    return next((verdict for kind, verdict in _VERDICTS.items() if isinstance(error, kind)), "failed")


_VERDICTS: dict[type[LakeError], str] = {
    SandboxBroken: "failed",
    SqlTimeout: "timeout",
    Overloaded: "overloaded",
    QueryError: "refused",
    SnapshotInvalid: "refused",
}
"""What the log says of an error; the first kind that it is."""
