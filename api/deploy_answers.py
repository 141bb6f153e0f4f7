"""Deploy answers: what a deploy looks like in JSON.

Takes   rows of `Lake.deploy_page` and of the deploys of an error.
Gives   `Deploy`, with the one before it.
Refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from .answers import Answer, Listed, Timestamp
from .times import iso


class Predecessor(Answer, kw_only=True, frozen=True):
    """The deploy of the same service and environment before another one."""

    id: str
    version: str | None
    git_sha: str | None
    deployed_at: Timestamp


class Deploy(Answer, kw_only=True, frozen=True):
    """A deploy."""

    id: str
    version: str | None
    git_sha: str | None
    service: Annotated[str | None, Meta(description="null means every service of the project")]
    environment: str | None
    deployer: str | None
    description: str | None
    deployed_at: Timestamp
    predecessor: Annotated[Predecessor | None, Meta(description="The deploy before it of the same service and environment")]


class DeployList(Listed[Deploy], kw_only=True, frozen=True):
    """Deploys in a window, newest first."""

    start_time: Timestamp
    end_time: Timestamp


def deploy(row: Mapping[str, Any]) -> Deploy:
    """One deploy, from a row of `lake.deploys.deploys`."""
    before = row["predecessor"]
    return Deploy(
        **{name: row[name] for name in ("id", "version", "git_sha", "environment", "deployer", "description")},
        service=row["service_name"],
        deployed_at=iso(row["deployed_at"]),
        predecessor=Predecessor(**before | {"deployed_at": iso(before["deployed_at"])}) if before else None,
    )
