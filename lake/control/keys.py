"""Keys: the three families, what each may do, and how a key becomes what is stored of it.

Takes   names and keys as people write them.
Gives   `Project`, `Key`, `Principal`; new keys; the id and hash of a key.
Refuses names and keys that break the rules: `ControlError` says which rule.

A new key has 48 random bits that are its public id and 256 more that are the secret, so a fast hash is enough: nobody
guesses 256 bits (slow hashes are for passwords, and at 1,000 requests a minute would be an attack on ourselves).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Literal, get_args

from ..errors import ControlError

Kind = Literal["ingest", "live", "test"]
"""Family of a key, as `tracelake keys create --kind` takes it."""

Environment = Literal["live", "sandbox"]
"""Which of a project's two lakes a key opens; also the name of the lake's folder."""

Scope = Literal["ingest", "read", "sql", "alerts", "admin"]
"""One permission of a key."""

KINDS: tuple[Kind, ...] = get_args(Kind)
SCOPES: tuple[Scope, ...] = get_args(Scope)

CHOSEN_MIN_CHARACTERS = 8
"""Characters after the prefix of a key that an operator chose."""

KEY_MAX_CHARACTERS = 256
"""Characters of a whole key; longer ones are not looked up."""

RATE_LIMIT_MAX = 10_000
"""Requests a minute that a key may have."""

NAME_MAX_CHARACTERS = 100

_ID_DIGITS = 12
_SECRET_BYTES = 32
_ALL: frozenset[Scope] = frozenset(SCOPES)


@dataclass(frozen=True, slots=True)
class Family:
    """What the keys of one kind have in common."""

    prefix: str
    environment: Environment
    scopes: frozenset[Scope]


FAMILIES = MappingProxyType[Kind, Family](
    {
        "ingest": Family("proj_", "live", frozenset({"ingest"})),
        "live": Family("mtk_live_", "live", _ALL),
        "test": Family("mtk_test_", "sandbox", _ALL),
    }
)

_PROJECT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TAKEN = "notebooks"
"""Folder of the data folder where the notebooks of users lie; deleting a project of this name would take them along."""
_KEY = re.compile(rf"(?P<prefix>{'|'.join(f.prefix for f in FAMILIES.values())})[!-~]+")


@dataclass(frozen=True, slots=True)
class Project:
    """One tenant: a folder with a live and a sandbox lake."""

    name: str
    created_at: datetime
    """Aware, UTC, as every time here."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; not the key."""

    id: str
    """Public: prefix and 12 hex digits, for logs and for revoking."""
    name: str | None
    """What people call it."""
    project: str
    kind: Kind
    scopes: frozenset[Scope]
    rate_limit: int | None
    """Requests a minute; None: what the server gives everybody."""
    created_at: datetime
    last_used_at: datetime | None
    """To the hour; None: never."""
    revoked_at: datetime | None
    """None: still good."""

    @property
    def environment(self) -> Environment:
        return FAMILIES[self.kind].environment


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment when it can be read."""

    key: Key
    secret: str = field(repr=False)
    """The key itself: show it once, keep it nowhere."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from: all that decides which lake it sees and what it may do there."""

    project: str
    kind: Kind
    environment: Environment
    scopes: frozenset[Scope]
    key_id: str
    rate_limit: int | None = None
    """Requests a minute; None: what the server gives everybody."""


def new_key(kind: Kind) -> str:
    """A key that nobody has seen: the prefix, 12 hex digits of its id and 64 of its secret."""
    return FAMILIES[kind].prefix + secrets.token_hex(_ID_DIGITS // 2 + _SECRET_BYTES)


def new_id(kind: Kind) -> str:
    """An id for a key that an operator chose; it says nothing about that key, which may be easy to guess."""
    return FAMILIES[kind].prefix + secrets.token_hex(_ID_DIGITS // 2)


def id_of(key: str) -> str | None:
    """The public id of a key if it was made here, and None if it cannot be a key at all."""
    match = _KEY.fullmatch(key) if len(key) <= KEY_MAX_CHARACTERS else None
    return key[: match.end("prefix") + _ID_DIGITS] if match else None


def hash_of(key: str) -> str:
    """What is stored of a key: its SHA-256, hex."""
    return sha256(key.encode()).hexdigest()


def check_chosen_key(kind: Kind, key: str) -> None:
    """
    Raises:
        ControlError: an operator's own key does not look like one of its kind. The message does not repeat the key.
    """
    prefix = FAMILIES[kind].prefix
    if not key.startswith(prefix):
        raise ControlError(f"key: a key of kind {kind!r} must start with {prefix!r}")
    if len(key) - len(prefix) < CHOSEN_MIN_CHARACTERS:
        raise ControlError(f"key: at least {CHOSEN_MIN_CHARACTERS} characters must follow {prefix!r}")
    if len(key) > KEY_MAX_CHARACTERS:
        raise ControlError(f"key: {len(key)} characters, at most {KEY_MAX_CHARACTERS} are allowed")
    if not _KEY.fullmatch(key):
        raise ControlError("key: only printable ASCII characters without spaces are allowed")


def check_project_name(name: str) -> None:
    """
    Raises:
        ControlError: the name cannot be a folder and a label everywhere.
    """
    if not _PROJECT.fullmatch(name):
        raise ControlError(
            f"project: {name!r} must be 1 to 63 lowercase letters, digits and dashes, with no dash at either end"
        )
    if name == _TAKEN:
        raise ControlError(f"project: {name!r} is the folder of the notebooks; choose another name")


def check_scopes(kind: Kind, scopes: Collection[str]) -> frozenset[Scope]:
    """
    Raises:
        ControlError: keys of this kind cannot have one of them, or there are none.
    """
    possible = FAMILIES[kind].scopes
    if not scopes or not possible.issuperset(scopes):
        raise ControlError(f"scopes: a key of kind {kind!r} has one or more of {', '.join(sorted(possible))}")
    return frozenset(scope for scope in possible if scope in scopes)


def check_rate_limit(rate_limit: int) -> None:
    """
    Raises:
        ControlError: no key may have such a limit.
    """
    if not 1 <= rate_limit <= RATE_LIMIT_MAX:
        raise ControlError(f"rate_limit: {rate_limit} must be from 1 to {RATE_LIMIT_MAX} requests a minute")


def check_name(name: str) -> None:
    """
    Raises:
        ControlError: nobody could read such a name of a key.
    """
    if not 0 < len(name) <= NAME_MAX_CHARACTERS or not name.isprintable():
        raise ControlError(f"name: {name!r} must be 1 to {NAME_MAX_CHARACTERS} printable characters")


def check_kind(kind: str) -> Kind:
    """
    Raises:
        ControlError: there is no such kind of key.
    """
    for known in KINDS:
        if kind == known:
            return known
    raise ControlError(f"kind: {kind!r} must be one of {', '.join(KINDS)}")
