"""Identity: which rows are the same span.

Takes   rows of `spans`.
Gives   each span once.
Refuses nothing.

A client that got no answer sends again, so a span can come twice. What makes it the same one is
`lake.schema.SPAN_IDENTITY`; the one that came last counts.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .schema import SPAN_IDENTITY, SPAN_RECENCY
from .wire.arrays import booleans


def latest_spans(rows: pa.Table) -> pa.Table:
    """Spans sorted by trace and start, of equal ones only the one that came last."""
    if not rows.num_rows:
        return rows
    order = ["trace_id", "start_time", "start_ns_remainder", "span_id", "kind", *SPAN_RECENCY]
    indices = pc.sort_indices(rows.select(order), sort_keys=[(name, "ascending") for name in order])
    same = np.ones(rows.num_rows - 1, dtype=np.bool_)
    for name in SPAN_IDENTITY:
        column = rows.column(name).take(indices).combine_chunks()
        same &= pc.equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    # whole rows are copied once, when it is known which
    return rows.take(indices.filter(booleans(np.append(~same, True))) if same.any() else indices)
