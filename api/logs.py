"""Logs: structured lines on standard error, one JSON object each (or readable ones on a terminal).

A key never reaches a log: whatever looks like one is replaced before a line is written.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from lake.control.keys import FAMILIES

_KEY = re.compile(rf"((?:(?<!\w)|(?<=%[0-9A-Fa-f]{{2}}))(?:{'|'.join(f.prefix for f in FAMILIES.values())}))[!-~]+")
"""A key of one's own choice may have any printable character, so what follows one up to the next space goes too."""


def configure_logging() -> None:
    """Set structlog up for this process."""
    terminal = sys.stderr.isatty()
    # plain: the pretty tracebacks show local variables, and one of those may be a key
    readable = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = readable if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_keys,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def without_keys(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:  # noqa: ANN401
    """Replace API keys in everything that a log line holds."""
    return {name: _without_keys(value) for name, value in event.items()}


def _without_keys(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _without_keys(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_keys(inner) for inner in value]
    return redact(value if isinstance(value, str) else repr(value))


def redact(text: str) -> str:
    """The text with API keys cut to their family."""
    return _KEY.sub(r"\1***", text)
