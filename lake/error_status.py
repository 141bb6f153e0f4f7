"""Error status: what people decide about a group of errors.

Takes   nothing.
Gives   `Decision`, which the control database keeps and `lake.error_groups` applies.
Refuses nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal, get_args

ErrorStatus = Literal["open", "resolved", "ignored"]
"""`resolved` until it occurs again, `ignored` whatever happens."""

ERROR_STATUSES: tuple[ErrorStatus, ...] = get_args(ErrorStatus)


@dataclass(frozen=True, slots=True)
class Decision:
    """The last decision about one group."""

    status: ErrorStatus
    decided_at: dt.datetime
    decided_by: str
    """Id of the key that it came with."""
