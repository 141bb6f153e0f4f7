"""Problems: why a window could not be read, for who may look at the rule.

Takes   what went wrong.
Gives   a sentence for `last_error`, and the log's line where that has more to say.
Refuses nothing.
"""

from __future__ import annotations

import structlog

from lake.errors import Overloaded, QueryError

log = structlog.get_logger()


def problem_of(error: Exception) -> str:
    """What a question brought about as it is; of anything else only its kind, for texts name files of the server."""
    if isinstance(error, QueryError | Overloaded):
        return str(error)
    log.error("window cannot be read", exc_info=error)
    return f"the lake cannot be read ({type(error).__name__}); the server's log has more"
