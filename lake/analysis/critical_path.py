"""Critical path: which span a request was waiting for, at each moment of it.

Takes   spans of any number of traces, and which of them are requests.
Gives   per request the spans on its critical path and the time that belongs to each; the times of a request add up to its
        duration, to the nanosecond. Also the self time of spans.
Refuses nothing: what no request leads to (a missing parent, a cycle) is on no path.

The path goes back from the end of the request, always to the child that finished last, then to the one that finished last
before that one began: Zhang, Ramanathan, Raj, Parwal, Sherwood, Chabbi, "CRISP: Critical path analysis of large-scale
microservice architectures", USENIX ATC 2022, section 3. What is left between the children is the span's own. A child counts
as far as its parent, as far as that counts itself: the end of an asynchronous call that nobody waits for, and what lies
outside for clocks that differ, are on no path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from .windows import Integers

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tree:
    """Spans and who their parents are."""

    start_ns: Integers
    end_ns: Integers
    parent: Integers
    """Place of the parent, -1 for none that is here."""

    @classmethod
    def of(cls, spans: pl.DataFrame) -> Tree:
        """Of trace_id, span_id, parent_span_id, start_ns, duration_ns; each span once. A negative duration counts as 0."""
        places = spans.select("trace_id", pl.col("span_id").alias("parent_span_id"), pl.int_range(pl.len()).alias("place"))
        parent = spans.join(
            places.unique(["trace_id", "parent_span_id"], keep="first"),
            on=["trace_id", "parent_span_id"], how="left", maintain_order="left",
        )["place"]  # fmt: skip
        start = spans["start_ns"].to_numpy().astype(np.int64)
        duration = np.maximum(0, spans["duration_ns"].to_numpy().astype(np.int64))
        return cls(start, start + duration, parent.fill_null(-1).to_numpy().astype(np.int64))


@dataclass(frozen=True, slots=True)
class Steps:
    """Spans on critical paths; one span may be on those of several requests."""

    request: Integers
    """Place of the span whose path it is."""
    span: Integers
    """Place of the span."""
    own_ns: Integers
    """The part of the request that is this span's own."""
    low_ns: Integers
    """From where the span counts."""
    high_ns: Integers

    def take(self, chosen: Integers | Booleans) -> Steps:
        """Some of the steps."""
        return Steps(*(getattr(self, name)[chosen] for name in Steps.__slots__))


def critical_paths(tree: Tree, requests: Integers) -> Steps:
    """The critical path of each request.

    Args:
        tree: the spans.
        requests: places of the spans whose paths are wanted.
    """
    children, first = _children(tree.parent)
    front = Steps(requests, requests, np.zeros_like(requests), tree.start_ns[requests], tree.end_ns[requests])
    levels = []
    while len(front.span):
        owner, below = _below(tree, front, children, first)
        on_path = _last_finishing(owner, below, len(front.span))
        owner, below = owner[on_path], below.take(on_path)
        inside = np.zeros(len(front.span), np.int64)
        np.add.at(inside, owner, below.high_ns - below.low_ns)
        levels.append(Steps(front.request, front.span, front.high_ns - front.low_ns - inside, front.low_ns, front.high_ns))
        front = below
    if not levels:
        return front
    return Steps(*(np.concatenate([getattr(level, name) for level in levels]) for name in Steps.__slots__))


def self_times(tree: Tree) -> Integers:
    """The time of each span in which none of its children ran, in nanoseconds.

    The duration less the union of the children, each as far as it lies within the span.
    """
    child = np.flatnonzero((tree.parent >= 0) & (tree.parent != np.arange(len(tree.parent))))
    parent = tree.parent[child]
    low = np.maximum(tree.start_ns[child], tree.start_ns[parent])
    high = np.minimum(tree.end_ns[child], tree.end_ns[parent])
    within = high > low
    parent, low, high = parent[within], low[within], high[within]
    order = np.lexsort((low, parent))
    parent, low, high = parent[order], low[order], high[order]
    covered = _covered_before(parent, high)
    union = np.zeros(len(tree.parent), np.int64)
    np.add.at(union, parent, np.maximum(0, high - np.maximum(low, covered)))
    found: Integers = tree.end_ns - tree.start_ns - union
    return found


def _covered_before(group: Integers, high: Integers) -> Integers:
    """The latest end of those before each in its group; the start of time for the first. Groups come one after another."""
    values, rank = np.unique(high, return_inverse=True)
    latest = np.maximum.accumulate(group * (len(values) + 1) + rank) - group * (len(values) + 1)
    begins = np.append(True, group[1:] != group[:-1])[: len(group)]
    found = np.full(len(group), np.iinfo(np.int64).min)
    found[1:] = values[latest[:-1]] if len(group) else values
    found[begins] = np.iinfo(np.int64).min
    return found


def _children(parent: Integers) -> tuple[Integers, Integers]:
    """Places of all children by parent, and where those of each parent begin."""
    has_parent = np.flatnonzero(parent >= 0)
    children = has_parent[np.argsort(parent[has_parent], kind="stable")]
    first = np.searchsorted(parent[children], np.arange(len(parent) + 1))
    return children, first.astype(np.int64)


def _below(tree: Tree, front: Steps, children: Integers, first: Integers) -> tuple[Integers, Steps]:
    """The children of some steps as far as they lie within them, and which step each belongs to.

    A span has one parent, so a cycle that a request leads to comes back to the request itself, and ends there.
    """
    begins, ends = first[front.span], first[front.span + 1]
    count = ends - begins
    owner = np.repeat(np.arange(len(front.span)), count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begins, count)
    span, request = children[place], front.request[owner]
    low = np.maximum(tree.start_ns[span], front.low_ns[owner])
    high = np.minimum(tree.end_ns[span], front.high_ns[owner])
    kept = (high > low) & (span != request)
    return owner[kept], Steps(request, span, np.zeros_like(low), low, high).take(kept)


def _last_finishing(owner: Integers, below: Steps, owners: int) -> Integers:
    """Those of some children that are on the path of their owner: the last one, the last one before it, and so on.

    Of those that end at the same time the longest is taken. All owners take a step at once.
    """
    if not len(owner):
        return owner
    order = np.lexsort((below.low_ns, -below.high_ns, owner))
    owner, low, high = owner[order], below.low_ns[order], below.high_ns[order]
    moments, rank = np.unique(np.concatenate((low, high)), return_inverse=True)
    # ascending within the order: later ends first
    size = len(moments) + 1
    ended = owner * size + (len(moments) - rank[len(low) :])
    following = np.searchsorted(ended, owner * size + (len(moments) - rank[: len(low)]))
    begins = np.searchsorted(owner, np.arange(owners))
    at = begins[begins < np.searchsorted(owner, np.arange(owners), "right")]
    taken = []
    while len(at):
        taken.append(at)
        after = following[at]
        inside = after < len(owner)
        at, after = at[inside], after[inside]
        at = after[owner[after] == owner[at]]
    found: Integers = order[np.concatenate(taken)]
    return found
