"""Candidates: the traces that a query can be about, found by looking at single spans and few columns.

Takes   the spansets of a query.
Gives   conditions on spans as they came, repeats included, and what a trace must have some of.
Refuses nothing. Every trace that is meant is a candidate; not every candidate is meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .conditions import Conditions
from .tree import Both, Query, Spanset, Spansets, Structural


@dataclass(slots=True)
class CandidateSql:
    """What a span, and what a trace, must have."""

    conditions: Conditions
    _of_spans: list[str] = field(default_factory=list)

    def select(self, query: Query, source: str, where: str) -> str:
        """SELECT of trace_id and bound_ns, the start of the first span that can be meant; newest first.

        Args:
            source: SELECT of spans.
            where: further condition on them.
        """
        whole = self._trace(query.spansets)
        spans = where if "true" in self._of_spans else f"{where} AND ({' OR '.join(self._of_spans)})"
        having = "" if len(self._of_spans) == 1 else f" HAVING {whole}"
        return (
            "SELECT s.trace_id, min(epoch_us(s.start_time) * 1000 + s.start_ns_remainder) AS bound_ns "
            f"FROM ({source}) s WHERE {spans} GROUP BY s.trace_id{having} ORDER BY bound_ns DESC, s.trace_id DESC"
        )

    def _trace(self, node: Spansets) -> str:
        """What a trace has some span of, as an aggregate."""
        if isinstance(node, Spanset):
            known = self.conditions.of_row(node.condition) or "true"
            if known not in self._of_spans:
                self._of_spans.append(known)
            return "true" if known == "true" else f"coalesce(bool_or({known}), false)"
        if isinstance(node, Structural):
            right = self._trace(node.right)
            # `!>` is about the spans of the right, whatever the left has
            return right if node.op.startswith("!") else f"({self._trace(node.left)} AND {right})"
        word = " AND " if isinstance(node, Both) else " OR "
        return f"({word.join(map(self._trace, node.parts))})"
