"""What a deploy did, as the server reports it (docs/impact.md)."""

from __future__ import annotations

import datetime as dt

from msgspec import Struct


class ImpactFinding(Struct, frozen=True, kw_only=True):
    """One metric of one endpoint."""

    service: str
    endpoint: str
    metric: str
    """p50, p95, p99 or errors."""
    verdict: str
    unit: str
    """ms, or share of the requests."""
    before: float | None = None
    before_mixed: float | None = None
    """In the mix of the requests after."""
    after: float | None = None
    diff_pct: float | None = None
    """The change that is due to the deploy; its 95 % interval follows."""
    ci_low_pct: float | None = None
    ci_high_pct: float | None = None
    detectable_pct: float | None = None
    """The smallest rise that would have been found with a probability of 80 %."""
    diff_raw_pct: float | None = None
    warm_up_pct: float | None = None
    p_slower: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    n_before: int
    n_after: int
    mix_distance: float | None = None
    n_controls: int
    n_placebo_days: int
    mode: str
    """clock or version."""
    overlaps: list[str] = []
    """Ids of other deploys that could be the cause."""
    before_from_min: int
    after_from_min: int
    after_until_min: int


class ImpactError(Struct, frozen=True, kw_only=True):
    """A kind of error that came after the deploy, or around it."""

    service: str
    fingerprint: str
    exception_class: str
    message: str | None = None
    first_seen_at: dt.datetime
    count_before: int
    count_after: int
    rate_ratio: float | None = None
    """None where there were none before."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    p_value: float | None = None
    is_new: bool
    """Not seen in the seven days before the deploy."""


class DeployImpact(Struct, frozen=True, kw_only=True):
    """What a deploy did."""

    deploy_id: str
    verdict: str
    """The gravest one of the findings."""
    services: list[str] = []
    notes: list[str] = []
    """What one must know before believing it."""
    findings: list[ImpactFinding] = []
    """Worst first."""
    errors: list[ImpactError] = []
    """New ones first."""
