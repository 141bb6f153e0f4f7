"""Resources: who records a span, as OpenTelemetry attributes.

Takes   a shop and a pod.
Gives   the attributes of its resource, the same in history and live; name and version of the instrumentations.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha1
from importlib.metadata import version

from .model import Release, Shop

SCOPE_VERSION = "0.66b2"
NODES = 4
"""Machines that the pods are spread over."""


def resource_attributes(shop: Shop, release: Release, pod: int) -> Mapping[str, str]:
    """The attributes of one pod of a release."""
    name = release.pod(pod)
    node = int(sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % NODES
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": version("opentelemetry-sdk"),
        "service.name": release.service,
        "service.version": release.version,
        "deployment.environment.name": shop.environment,
        "vcs.ref.head.revision": release.git_sha,
        "k8s.pod.name": name,
        "host.name": f"node-{node + 1}",
        **shop.resource,
    }
