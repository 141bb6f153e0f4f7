"""Impact answers: what the report of a deploy looks like in JSON.

Takes   a report of `lake.analysis.impact`.
Gives   `DeployImpact`.
Refuses nothing; what could not be reckoned is null.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from .answers import Answer, Timestamp
from .times import iso

if TYPE_CHECKING:
    from lake.analysis.impact import Report

Verdict = Annotated[
    str,
    Meta(
        extra_json_schema={"enum": ["regressed", "improved", "suspect", "no evidence", "inconclusive", "insufficient data"]},
        description="See docs/impact.md",
    ),
]


class ImpactFinding(Answer, kw_only=True, frozen=True):
    """One metric of one endpoint; the fields are the columns of docs/impact.md."""

    service: str
    endpoint: str
    metric: Annotated[str, Meta(extra_json_schema={"enum": ["p50", "p95", "p99", "errors"]})]
    verdict: Verdict
    unit: Annotated[str, Meta(extra_json_schema={"enum": ["ms", "share"]})]
    before: float | None
    before_mixed: Annotated[float | None, Meta(description="In the mix of the requests after")]
    after: float | None
    diff_pct: Annotated[float | None, Meta(description="The change that is due to the deploy")]
    ci_low_pct: float | None
    ci_high_pct: float | None
    detectable_pct: Annotated[float | None, Meta(description="The smallest rise that would be found with 80 %")]
    diff_raw_pct: Annotated[float | None, Meta(description="After against before as they came")]
    warm_up_pct: float | None
    p_slower: float | None
    p_value: float | None
    q_value: float | None
    n_before: int
    n_after: int
    mix_distance: float | None
    n_controls: int
    n_placebo_days: int
    mode: Annotated[str, Meta(extra_json_schema={"enum": ["clock", "version"]})]
    overlaps: Annotated[list[str], Meta(description="Ids of other deploys that could be the cause")]
    before_from_min: int
    after_from_min: int
    after_until_min: int


class ImpactError(Answer, kw_only=True, frozen=True):
    """A kind of error that came after the deploy, or around it."""

    service: str
    fingerprint: str
    exception_class: str
    message: str | None
    first_seen_at: Annotated[Timestamp, Meta(description="Since seven days before the deploy")]
    count_before: int
    count_after: int
    rate_ratio: Annotated[float | None, Meta(description="null where there were none before")]
    ratio_low: float | None
    ratio_high: float | None
    p_value: float | None
    is_new: Annotated[bool, Meta(description="Not seen in the seven days before the deploy")]


class DeployImpact(Answer, kw_only=True, frozen=True):
    """What a deploy did."""

    deploy_id: str
    verdict: Annotated[str, Meta(description="The gravest one of the findings")]
    services: list[str]
    notes: Annotated[list[str], Meta(description="What one must know before believing it")]
    findings: Annotated[list[ImpactFinding], Meta(description="Worst first")]
    errors: Annotated[list[ImpactError], Meta(description="New ones first")]


def impact(report: Report) -> DeployImpact:
    """The answer of a report."""
    return DeployImpact(
        deploy_id=report.deploy.id,
        verdict=report.verdict,
        services=list(report.services),
        notes=list(report.notes),
        findings=[ImpactFinding(**_finite(row)) for row in report.rows.rows(named=True)],
        errors=[
            ImpactError(**_finite(row) | {"first_seen_at": iso(row["first_seen_at"])})
            for row in report.errors.rows(named=True)
        ],
    )


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """A row with null for numbers that JSON does not have."""
    return {name: None if isinstance(one, float) and not math.isfinite(one) else one for name, one in row.items()}
