"""Limits: what one OTLP request may hold.

Takes   the counts of a request, or requests that are decoded.
Gives   nothing.
Refuses a request over a limit: `TooLarge`, with the limit and the count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import TooLarge
from .arrays import offsets_of
from .attributes import KeyValues
from .decoded import Decoded, Indices

_ATTRIBUTES_PER_SPAN = 16
"""Attributes of a request, those of its resources, scopes, events and links included, for each span it may hold."""

_REPEATED_BYTES = 512 * 2**20
"""Bytes of attributes of resources and scopes, as often as there are rows that have them."""

_ZERO = pa.scalar(0, pa.int32())


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold."""

    max_spans: int
    """Spans; also scopes, entity references, and the events and the links of all spans together."""
    max_resources: int

    def of(self, what: str) -> int:
        """The limit of `resources`, `scopes`, `entity references`, `spans`, `events`, `links` or `attributes`."""
        if what == "resources":
            return self.max_resources
        return self.max_spans * _ATTRIBUTES_PER_SPAN if what == "attributes" else self.max_spans

    def check(self, what: str, count: int) -> None:
        """Refuse a request that holds too many of something.

        Raises:
            TooLarge: `count` is over the limit.
        """
        if count > self.of(what):
            raise TooLarge(f"a request may hold {self.of(what)} {what}, this one has {count}: send smaller batches")


def check_decoded(decoded: Decoded, limits: Limits) -> None:
    """Refuse a request that holds too much; if it is among others, nobody can say here which one it is.

    Raises:
        TooLarge: one of the requests is over a limit.
    """
    for what, parts in _parts(decoded).items():
        if sum(part.count for part in parts) > limits.of(what):
            owners = _owners(decoded)
            counts = sum(part.per_request(owners[part.owner], decoded.request_count) for part in parts)
            limits.check(what, int(np.max(counts)))
    _check_repeated(decoded)


@dataclass(frozen=True, slots=True)
class _Part:
    """Things of one kind that the resources, scopes, spans, events or links of some requests hold."""

    owner: str
    offsets: Indices | None = None
    """Where each owner's things lie; None if the owners themselves are meant."""
    owner_count: int = 0

    @property
    def count(self) -> int:
        return self.owner_count if self.offsets is None else int(self.offsets[-1])

    def per_request(self, requests: Indices, request_count: int) -> npt.NDArray[np.int64]:
        weights = None if self.offsets is None else np.diff(self.offsets)
        return np.bincount(requests, weights=weights, minlength=request_count).astype(np.int64)


def _parts(decoded: Decoded) -> dict[str, list[_Part]]:
    resources, scopes, events, links = decoded.resources, decoded.scopes, decoded.events, decoded.links
    return {
        "resources": [_Part("resource", owner_count=len(resources.request))],
        "scopes": [_Part("scope", owner_count=len(scopes.resource))],
        "entity references": [_Part("resource", offsets_of(resources.entity_refs))],
        "spans": [_Part("span", owner_count=len(decoded.scope))],
        "events": [_Part("span", events.offsets)],
        "links": [_Part("span", links.offsets)],
        "attributes": [
            _Part("resource", resources.attributes.offsets),
            _Part("scope", scopes.attributes.offsets),
            _Part("span", decoded.attributes.offsets),
            _Part("event", events.attributes.offsets),
            _Part("link", links.attributes.offsets),
        ],
    }


def _owners(decoded: Decoded) -> dict[str, Indices]:
    """The request of each resource, scope, span, event and link."""
    resource = decoded.resources.request
    scope = resource[decoded.scopes.resource]
    span = scope[decoded.scope]
    event, link = (np.repeat(span, np.diff(part.offsets)) for part in (decoded.events, decoded.links))
    return {"resource": resource, "scope": scope, "span": span, "event": event, "link": link}


def _check_repeated(decoded: Decoded) -> None:
    """Each row has the attributes of its resource and scope: a long one among many spans would fill the memory."""
    resources, scopes = decoded.resources.attributes, decoded.scopes.attributes
    longest = sum(texts.nbytes for part in (resources, scopes) for texts in (part.keys, part.text))
    if longest * len(decoded.scope) <= _REPEATED_BYTES:
        return
    resource = decoded.scopes.resource[decoded.scope]
    total = _bytes_of(resources)[resource].sum() + _bytes_of(scopes)[decoded.scope].sum()
    if total > _REPEATED_BYTES:
        raise TooLarge(
            f"attributes of resources and scopes, repeated for each span, may take {_REPEATED_BYTES} bytes, "
            f"here they take {total}: send smaller batches"
        )


def _bytes_of(attributes: KeyValues) -> npt.NDArray[np.int64]:
    """Bytes of the attributes of each row."""
    ends = np.zeros(len(attributes.types) + 1, dtype=np.int64)
    for texts in (attributes.keys, attributes.text):
        ends[1:] += np.cumsum(pc.fill_null(pc.binary_length(texts), _ZERO).to_numpy())
    return np.diff(ends[attributes.offsets])
