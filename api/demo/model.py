"""Model: what a shop is made of.

Takes   nothing; a shop is written down with these words.
Gives   frozen values: calls with their times, children and failures; services; deploys.

Text in names, attributes and messages may hold details of a request, `{order}` or `{currency}`: see `Detail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha1
from typing import Literal

Kind = Literal["internal", "server", "client", "producer", "consumer"]


@dataclass(frozen=True, slots=True)
class Time:
    """A log-normal time: half of the draws are below the median."""

    median_ms: float
    sigma: float = 0.3
    """Standard deviation of the logarithm: with 0.3 the p95 is 1.6 times the median."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What differs from request to request: a number, or one of some words of equal length.

    All values of a detail have the same number of characters, so a span has the same length whatever its details are.
    """

    name: str
    lowest: int = 0
    highest: int = 0
    words: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        return len(self.words[0]) if self.words else len(str(self.highest))

    def text(self, value: int) -> str:
        """A value in words: the number itself, or the word at that place."""
        return self.words[value] if self.words else f"{value:0{self.width}}"


def filled(text: str, details: Mapping[str, str]) -> str:
    """A text with the details of a request in it."""
    for name, value in details.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception with its traceback."""

    type: str
    message: str
    frames: tuple[str, ...]
    """`file.py:12 function: line of code`, the outermost first."""

    @property
    def backtrace(self) -> list[str]:
        """The lines of the traceback as Python prints it."""
        lines = ["Traceback (most recent call last):"]
        for frame in self.frames:
            place, _, code = frame.partition(": ")
            location, function = place.rsplit(" ", 1)
            file, _, number = location.rpartition(":")
            lines += [f'  File "{file}", line {number}, in {function}', f"    {code}"]
        return [*lines, f"{self.type}: {self.message}"]

    @property
    def attributes(self) -> dict[str, str | int]:
        """What the `exception` event of a span says."""
        return {
            "exception.type": self.type,
            "exception.message": self.message,
            "exception.stacktrace": "\n".join(self.backtrace) + "\n",
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A way in which a call fails."""

    rate: float
    """Share of the calls."""
    http_status: int = 0
    """What it answers; 0 where there is no HTTP."""
    raised: Raised | None = None
    lasts: Time | None = None
    """How long the call itself takes then, if not as long as always."""
    version: str = ""
    """Only while the service runs this version."""
    when: tuple[str, str] | None = None
    """Only for requests with this value of a detail."""
    first: bool = False
    """It fails before it has made the calls below it, and not after them."""
    reported: bool = False
    """The service also reports it to `/ingest/errors`."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One span of a request, and the calls below it. Equal is only the very same place in the shop."""

    service: str
    name: str
    kind: Kind
    scope: str
    """Name of the instrumentation that records it."""
    attributes: Mapping[str, str | int]
    """Those that it has from its start."""
    time: Time
    """Beside the time of the calls that it waits for."""
    http_status: int = 0
    """What it answers when all is well; 0 if it is not HTTP, or repeats the answer of the call below it."""
    children: tuple[Call, ...] = ()
    """In order: one starts when the one before has ended."""
    failures: tuple[Failure, ...] = ()
    share: float = 1.0
    """Share of its parent's calls in which it is made."""
    together: bool = False
    """Starts with the call before it, and not after that one."""
    optional: bool = False
    """Its parent does without it when it fails."""
    only: str = ""
    """Made only while its service runs this version."""
    never: str = ""
    """Not made while its service runs this version."""
    delay: Time | None = None
    """Starts so long after its parent has ended, and nobody waits for it (a consumer)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A request that customers make, as the outermost call."""

    weight: float
    """Its share of the traffic, in the measure of the others' weights."""
    call: Call


@dataclass(frozen=True, slots=True)
class Service:
    """A program with its pods."""

    name: str
    version: str
    """The version that ran before the first deploy."""
    pods: int = 2


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a service."""

    service: str
    version: str

    @property
    def git_sha(self) -> str:
        return sha1(f"{self.service} {self.version}".encode(), usedforsecurity=False).hexdigest()

    def pod(self, number: int) -> str:
        """Name of a pod, as Kubernetes makes them: of the deployment, the release and the pod."""
        own = sha1(f"{self.service} {self.version} {number}".encode(), usedforsecurity=False).hexdigest()
        return f"{self.service}-{self.git_sha[-10:]}-{own[:5]}"


@dataclass(frozen=True, slots=True)
class Deploy:
    """A version that comes to a service."""

    age: timedelta
    """How long before the end of the history."""
    service: str
    version: str
    deployer: str
    description: str

    @property
    def release(self) -> Release:
        return Release(self.service, self.version)


@dataclass(frozen=True, slots=True)
class Job:
    """A failure that no request meets: reported once a day, without a trace."""

    service: str
    hour_before_end: float
    """Hours between it and the end of each day of the history."""
    raised: Raised


@dataclass(frozen=True, slots=True)
class Shop:
    """All of a shop."""

    services: tuple[Service, ...]
    endpoints: tuple[Endpoint, ...]
    deploys: tuple[Deploy, ...]
    """Oldest first."""
    details: tuple[Detail, ...] = ()
    jobs: tuple[Job, ...] = ()
    environment: str = "production"
    resource: Mapping[str, str] = field(default_factory=dict)
    """Resource attributes that all services share."""
