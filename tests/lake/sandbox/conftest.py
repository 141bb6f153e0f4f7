"""Two lakes, something that nobody may see, and the sandbox of the first."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

import lake
from lake.folder import create_folder
from lake.landing import LandingWriter
from lake.sandbox.messages import Job, Limits
from lake.sandbox.parent import Question, Sandbox
from tests.lake.spans import START, otlp_body, rows_of

CANARY = "CANARY-9f2c"
"""What no query may show."""

LIMITS = Limits(timeout_s=20)
"""Generous on a busy machine; tests of the limits have their own."""


@dataclass(frozen=True)
class Places:
    """Where things lie."""

    own: Path
    other: Path
    secret: Path
    out: Path

    @property
    def own_file(self):
        return next(self.own.rglob("*.parquet"))

    def fill(self, text):
        """A hostile statement with the places it aims at."""
        for name in ("own", "other", "secret", "out", "own_file"):
            text = text.replace(f"{{{name}}}", str(getattr(self, name)))
        return text.replace("{parent}", str(os.getpid()))

    def files(self):
        """Every file with its size and time."""
        root = self.secret.parent
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def places(tmp_path_factory):
    """A lake of one's own with three spans, one of somebody else, and a file."""
    root = tmp_path_factory.mktemp("sandbox")
    secret = root / "secret.csv"
    secret.write_text(f"a,b\n{CANARY},2\n")
    own = make_lake(root / "data" / "mine" / "live", "shop")
    other = make_lake(root / "data" / "theirs" / "live", CANARY)
    (own / "link").symlink_to(secret)
    os.environ["SANDBOX_CANARY"] = CANARY
    yield Places(own, other, secret, root / "out")
    del os.environ["SANDBOX_CANARY"]


def make_lake(folder, service, *, spans=3):
    """A lake whose landing has some spans of a service."""
    create_folder(folder)
    rows, requests = rows_of([otlp_body(spans, service=service, exceptions=True)])
    writer = LandingWriter(folder, "spans", now=START)
    writer.commit(rows, requests)
    writer.close()
    return folder


@pytest.fixture(scope="session")
def sandbox():
    """A sandbox as a server has it."""
    with_landlock = Sandbox()
    yield with_landlock
    with_landlock.close()


@pytest.fixture
def ask(places, sandbox):
    """Asks the lake of one's own; further arguments are those of `Question`."""
    with lake.open(places.own) as opened:
        yield asker(opened, sandbox)


def asker(opened, sandbox):
    def ask(query, **what):
        return sandbox.ask(question(opened, query, **what))

    return ask


def question(opened, query, **what):
    """A question about a lake."""
    views = opened.views(query, inside=True)
    return Question(query, str(opened.path), views.named, views.names, **({"limits": LIMITS} | what))


def job_of(places, *, landlock_abi):
    """A job as the sandbox would make it, for who goes without the check."""
    with lake.open(places.own) as opened:
        views = opened.views("SELECT * FROM spans", inside=True)
    spans = views.named["spans"]
    return Job(
        query="",
        params=None,
        folder=str(places.own),
        files=list(spans.files),
        views={"spans": f"SELECT * FROM read_parquet({list(spans.files)})"},
        names=list(views.names),
        tables=[],
        format="json",
        limits=LIMITS,
        landlock=landlock_abi,
    )
