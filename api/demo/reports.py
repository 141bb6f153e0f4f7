"""Reports: what the shop tells Tracelake beside its spans.

Takes   a story, or simulated requests.
Gives   the JSON objects that `/ingest/deploys` and `/ingest/errors` take.
Refuses nothing.

An error that a service reports is also an event of its span; Tracelake counts the two as one occurrence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .model import Failure, Raised, Release, filled
from .otlp import Ids
from .simulation import Requests, Visits, at
from .story import DAY_NS, DAYS, HOUR_NS, Story

Report = dict[str, Any]


def deploys(story: Story) -> list[Report]:
    """The deploys of the story, oldest first."""
    return [
        {
            "version": deploy.version,
            "git_sha": deploy.release.git_sha,
            "service": deploy.service,
            "environment": story.shop.environment,
            "deployer": deploy.deployer,
            "description": deploy.description,
            "deployed_at": _time(story.deployed_ns(deploy)),
        }
        for deploy in story.shop.deploys
    ]


def job_errors(story: Story) -> list[Report]:
    """The errors that jobs had, one a day and job."""
    found = []
    for job in story.shop.jobs:
        for day in range(DAYS):
            at_ns = story.end_ns - day * DAY_NS - int(job.hour_before_end * HOUR_NS)
            number = story.release_numbers(job.service, np.array([at_ns]))[0]
            found.append(_error(story, story.releases(job.service)[number], job.raised, at_ns, {}))
    return found


def request_errors(story: Story, requests: Requests, ids: Ids) -> Iterator[Report]:
    """The errors that services report of some requests."""
    for place, visits in enumerate(requests.visits):
        for number, failure in enumerate(visits.call.failures):
            if failure.reported:
                for row in np.flatnonzero(visits.made & (visits.failure == number)):
                    trace_id, span_id = ids.traces[row].tobytes().hex(), ids.spans[place][row].tobytes().hex()
                    yield request_error(story, requests, visits, failure, int(row), trace_id=trace_id, span_id=span_id)


def request_error(
    story: Story, requests: Requests, visits: Visits, failure: Failure, row: int, *, trace_id: str, span_id: str
) -> Report:
    """One error of one request.

    Args:
        row: the place of the request.
        trace_id: of its span, hex.
        span_id: hex.
    """
    if failure.raised is None:
        raise ValueError(f"{visits.call.name}: only an exception can be reported")
    service = visits.call.service
    release = story.releases(service)[requests.releases[service][row]]
    report = _error(story, release, failure.raised, int(visits.end_ns[row]), story.words(at(requests, row)))
    return report | {"trace_id": trace_id, "span_id": span_id}


def _error(story: Story, release: Release, raised: Raised, at_ns: int, words: Mapping[str, str]) -> Report:
    report: Report = {
        "exception_class": raised.type,
        "message": filled(raised.message, words),
        "backtrace": [filled(line, words) for line in raised.backtrace],
        "timestamp": _time(at_ns),
        "service": release.service,
        "version": release.version,
        "git_sha": release.git_sha,
        "environment": story.shop.environment,
    }
    if words:
        report |= {"user_id": f"u-{words['user']}", "context": {"order": words["order"], "currency": words["currency"]}}
    return report


def _time(at_ns: int) -> str:
    return dt.datetime.fromtimestamp(at_ns / 1e9, dt.UTC).isoformat()
