"""Control: the projects and keys of one data folder.

Takes   the data folder; other processes may have the same one open.
Gives   projects, keys, and the principal behind the key of a request.
Refuses what is unknown, taken or malformed (`ControlError`). While the database cannot be read `authenticate` raises
        `Overloaded`: the client shall come back, its key may be good.

A good key is remembered for `TRUST_S`, so a revoked one is refused everywhere within that time and a busy server asks
the database once a second for each key. Keys that are not good are never remembered: a new key works at once.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, Row, delete, insert, or_, select, tuple_, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from ..disk import Disk, make_folders_durably
from ..errors import ControlError
from .access import from_us, reading, to_us
from .alert_tables import forget_alerts
from .database import keys, open_database, projects, sqlite_url, writing
from .decisions import Decisions, forget
from .delivery_tables import forget_deliveries
from .job_runs import JobRuns, forget_runs
from .keys import (
    FAMILIES,
    KINDS,
    Key,
    Kind,
    NewKey,
    Principal,
    Project,
    check_chosen_key,
    check_kind,
    check_name,
    check_project_name,
    check_rate_limit,
    check_scopes,
    hash_of,
    id_of,
    new_id,
    new_key,
)
from .nodes import Nodes, forget_project

FIRST_PROJECT = "default"
"""Name of the project of a data folder where nobody made one."""

TRUST_S = 1.0
"""Seconds that a good key is taken for good without another look."""

LAST_USED_STEP_S = 3600
"""Seconds between two notes of when a key was last used."""

DELETED = ".deleted"
"""Folder of the data folder where the folders of deleted projects go; no project can have this name."""

logger = logging.getLogger(__name__)


class Control:
    """The control database of one data folder. Safe for use by several threads and processes; a context manager."""

    def __init__(
        self,
        data: Path,
        *,
        url: str | URL | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open it, and make it if there is none.

        Args:
            data: folder of all lakes.
            url: SQLAlchemy URL of the database; None means `tracelake.db` in the data folder.
        """
        self._data = data
        self._engine = open_database(url or sqlite_url(data))
        self._monotonic_s = monotonic_s
        self._now = now
        self._trusted: dict[str, tuple[float, Principal]] = {}
        self.decisions = Decisions(self._engine, now)
        self.nodes = Nodes(self._engine, now)
        self.jobs = JobRuns(self._engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        """For who keeps other things in the same database (`scheduler.alerts.store`)."""
        return self._engine

    def authenticate(self, key: str) -> Principal | None:
        """Whose key this is; None if it is none, unknown or revoked.

        Raises:
            Overloaded: the database cannot be read at the moment.
        """
        key_id = id_of(key)
        if key_id is None:
            return None
        if known := self.remembered(key):
            return known
        digest = hash_of(key)
        moment_s = self._monotonic_s()
        principal = self._look_up(key_id, digest)
        if principal is None:
            self._trusted.pop(digest, None)
        else:
            self._trusted[digest] = (moment_s, principal)
        return principal

    def remembered(self, key: str) -> Principal | None:
        """What `authenticate` said within the last `TRUST_S`, None if it has to be asked; never waits for the database."""
        known = self._trusted.get(hash_of(key))
        return known[1] if known and self._monotonic_s() - known[0] < TRUST_S else None

    def create_project(self, name: str) -> Project:
        """
        Raises:
            ControlError: the name is taken or cannot be one.
        """
        check_project_name(name)
        now = self._now()
        try:
            with writing(self._engine) as connection, connection.begin():
                connection.execute(insert(projects).values(name=name, created_at_us=to_us(now)))
        except IntegrityError:
            raise ControlError(f"project: {name!r} exists already") from None
        return Project(name, now)

    def create_first_project(self) -> Project | None:
        """Make the project `default` if there is no project at all; None if there is one."""
        now = self._now()
        with writing(self._engine) as connection, connection.begin():
            if connection.execute(select(projects.c.name).limit(1)).first() is not None:
                return None
            connection.execute(insert(projects).values(name=FIRST_PROJECT, created_at_us=to_us(now)))
        return Project(FIRST_PROJECT, now)

    def list_projects(self) -> list[Project]:
        """All projects by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(projects).order_by(projects.c.name)).all()
        return [Project(row.name, from_us(row.created_at_us)) for row in rows]

    def delete_project(self, name: str, *, force: bool = False) -> Path | None:
        """Delete a project and its keys, and move its folder away.

        Its keys end first: a crash in between leaves a project that nobody can write to, and the next attempt goes on
        from there. Nothing is removed from the disk.

        Args:
            force: must be true, because clients lose their access at once.

        Returns:
            Where the folder is now, None if there was none.

        Raises:
            ControlError: there is no such project, or `force` is not given.
        """
        with writing(self._engine) as connection, connection.begin():
            self._require_project(connection, name)
            if not force:
                raise ControlError(f"project: deleting {name!r} ends its keys and moves its data away: use force")
            self._end_keys(connection, name)
        moved = self._move_away(name)
        with writing(self._engine) as connection, connection.begin():
            forget(connection, name)
            forget_project(connection, name)
            forget_alerts(connection, name)
            forget_deliveries(connection, name)
            forget_runs(connection, name)
            connection.execute(delete(keys).where(keys.c.project == name))
            connection.execute(delete(projects).where(projects.c.name == name))
        return moved

    def create_key(
        self,
        project: str,
        kind: str,
        *,
        key: str | None = None,
        name: str | None = None,
        scopes: Collection[str] | None = None,
        rate_limit: int | None = None,
    ) -> NewKey:
        """Make a key of a project.

        Args:
            project: name of an existing project.
            kind: `ingest`, `live` or `test`.
            key: a key of the operator's own choice instead of a random one.
            name: what people call it.
            scopes: what it may do, less than all that its kind can.
            rate_limit: requests a minute, if not what the server gives everybody.

        Raises:
            ControlError: there is no such project or kind, the chosen key is malformed or was used before, or one of the
                others cannot be.
        """
        family = check_kind(kind)
        allowed = FAMILIES[family].scopes if scopes is None else check_scopes(family, scopes)
        _check_settings(name, rate_limit)
        if key is not None:
            check_chosen_key(family, key)
        secret = key or new_key(family)
        digest = hash_of(secret)
        values = {
            "id": new_id(family) if key else id_of(secret),
            "hash": digest,
            "project": project,
            "kind": family,
            "name": name,
            "scopes": sorted(allowed),
            "rate_limit": rate_limit,
            "created_at_us": to_us(self._now()),
        }
        with writing(self._engine) as connection, connection.begin():
            self._require_project(connection, project)
            self._require_unused(connection, digest)
            row = connection.execute(insert(keys).values(values).returning(*keys.c)).one()
        return NewKey(_key(row), secret)

    def list_keys(
        self,
        project: str | None = None,
        *,
        kinds: Collection[Kind] = KINDS,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[Key]:
        """The keys of one project or of all, the revoked ones too, oldest first.

        Args:
            kinds: only these.
            after: id of a key; only those that come after it.
            limit: how many at most.

        Raises:
            ControlError: there is no such project.
        """
        query = select(keys).where(keys.c.kind.in_(kinds)).order_by(keys.c.created_at_us, keys.c.id).limit(limit)
        if after is not None:
            last = select(keys.c.created_at_us, keys.c.id).where(keys.c.id == after).subquery()
            query = query.where(tuple_(keys.c.created_at_us, keys.c.id) > select(last).scalar_subquery())
        with self._engine.connect() as connection:
            if project is not None:
                self._require_project(connection, project)
                query = query.where(keys.c.project == project)
            return [_key(row) for row in connection.execute(query)]

    def find_key(self, key_id: str) -> Key | None:
        """A key by its id, also if it is revoked; None if there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
        return _key(row) if row else None

    def change_key(self, key_id: str, *, name: str | None, rate_limit: int | None) -> Key:
        """Give a key another name and limit; every process knows within `TRUST_S`.

        Raises:
            ControlError: there is no such key, or one of them cannot be.
        """
        _check_settings(name, rate_limit)
        change = update(keys).where(keys.c.id == key_id).values(name=name, rate_limit=rate_limit).returning(*keys.c)
        with writing(self._engine) as connection, connection.begin():
            row = connection.execute(change).one_or_none()
        if row is None:
            raise ControlError("key: unknown; `tracelake keys list` shows the ids")
        self._trusted.pop(row.hash, None)
        return _key(row)

    def revoke_key(self, key: str) -> Key:
        """End a key; every process refuses it within `TRUST_S`. A key that was revoked before stays as it is.

        Args:
            key: its id, or the key itself (of which an operator may know nothing else).

        Raises:
            ControlError: there is no such key.
        """
        matches = or_(keys.c.id == key, keys.c.hash == hash_of(key))
        with writing(self._engine) as connection, connection.begin():
            connection.execute(
                update(keys).where(matches, keys.c.revoked_at_us.is_(None)).values(revoked_at_us=to_us(self._now()))
            )
            row = connection.execute(select(keys).where(matches)).one_or_none()
        if row is None:
            raise ControlError("key: unknown; `tracelake keys list` shows the ids")
        self._trusted.pop(row.hash, None)
        return _key(row)

    def _look_up(self, key_id: str, digest: str) -> Principal | None:
        candidates = select(keys).where(or_(keys.c.id == key_id, keys.c.hash == digest))
        with reading(self._engine) as connection:
            rows = connection.execute(candidates).all()
        found = [row for row in rows if hmac.compare_digest(row.hash, digest)]
        if not found or found[0].revoked_at_us is not None:
            return None
        self._note_use(found[0])
        key = _key(found[0])
        return Principal(key.project, key.kind, key.environment, key.scopes, key.id, key.rate_limit)

    def _note_use(self, row: Row[Any]) -> None:
        """Note when a key was used. It is a courtesy to the operator: a request does not fail because of it."""
        now_us = to_us(self._now())
        if row.last_used_at_us is not None and 0 <= now_us - row.last_used_at_us < LAST_USED_STEP_S * 1_000_000:
            return
        try:
            with writing(self._engine) as connection, connection.begin():
                connection.execute(update(keys).where(keys.c.id == row.id).values(last_used_at_us=now_us))
        except DBAPIError as error:
            logger.warning("use of a key not noted key_id=%s error=%s", row.id, error.orig)

    def _require_project(self, connection: Connection, name: str) -> None:
        if connection.execute(select(projects.c.name).where(projects.c.name == name)).one_or_none() is None:
            raise ControlError(f"project: there is no {name!r}; `tracelake projects list` shows them")

    def _require_unused(self, connection: Connection, digest: str) -> None:
        row = connection.execute(select(keys).where(keys.c.hash == digest)).one_or_none()
        if row is not None:
            state = "is revoked" if row.revoked_at_us else "exists already"
            raise ControlError(f"key: this key {state} as {row.id} of project {row.project!r}: choose another")

    def _end_keys(self, connection: Connection, project: str) -> None:
        connection.execute(
            update(keys)
            .where(keys.c.project == project, keys.c.revoked_at_us.is_(None))
            .values(revoked_at_us=to_us(self._now()))
        )

    def _move_away(self, project: str) -> Path | None:
        source = self._data / project
        if not source.exists():
            return None
        disk = Disk()
        target = self._data / DELETED / f"{project}-{self._now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        make_folders_durably(disk, target.parent)
        disk.rename(source, target)
        disk.flush_folder(target.parent)
        disk.flush_folder(self._data)
        return target


def _check_settings(name: str | None, rate_limit: int | None) -> None:
    if name is not None:
        check_name(name)
    if rate_limit is not None:
        check_rate_limit(rate_limit)


def _key(row: Row[Any]) -> Key:
    kind: Kind = row.kind
    return Key(
        id=row.id,
        name=row.name,
        project=row.project,
        kind=kind,
        scopes=frozenset(row.scopes),
        rate_limit=row.rate_limit,
        created_at=from_us(row.created_at_us),
        last_used_at=from_us(row.last_used_at_us) if row.last_used_at_us is not None else None,
        revoked_at=from_us(row.revoked_at_us) if row.revoked_at_us is not None else None,
    )
