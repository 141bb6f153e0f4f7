"""Deploy notes: deploys as PagerDuty is told of them.

Takes   rows of the table `deploys`.
Gives   `Deployed`, its JSON text and back.
Refuses text that is none (`ValueError`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import msgspec


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deploy of a lake."""

    id: str
    project: str
    service: str | None
    """None: of every service of the project."""
    version: str | None
    git_sha: str | None
    environment: str | None
    deployer: str | None
    description: str | None
    deployed_at: datetime

    @classmethod
    def of(cls, project: str, row: Mapping[str, Any]) -> Self:
        """A row of the table `deploys`."""
        return cls(
            row["id"], project, row["service_name"], row["version"], row["git_sha"], row["environment"], row["deployer"],
            row["description"], row["deployed_at"],
        )  # fmt: skip

    @property
    def summary(self) -> str:
        """In one line: `checkout v1.2.3 deployed to production`."""
        what = self.version or self.git_sha or self.id
        where = f" to {self.environment}" if self.environment else ""
        return " ".join(f"{self.service or self.project} {what} deployed{where}".split())

    @property
    def details(self) -> dict[str, str]:
        """All that is known of it."""
        names = ("id", "project", "service", "version", "git_sha", "environment", "deployer", "description")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def to_json(self) -> str:
        """As the outbox keeps it."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is no text of `to_json`.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ValueError(f"no deploy: {error}") from error
