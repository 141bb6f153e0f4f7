"""Logs: structured lines on standard error, one JSON object each (or readable ones on a terminal).

A key never reaches a log: whatever looks like one is replaced before a line is written.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog

_KEY = re.compile(r"\b((?:proj|mtk_live|mtk_test)_)[A-Za-z0-9_.\-]+")


def configure_logging() -> None:
    """Set structlog up for this process."""
    terminal = sys.stderr.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
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
    """Replace API keys in every text of a log line."""
    return {name: redact(value) if isinstance(value, str) else value for name, value in event.items()}


def redact(text: str) -> str:
    """The text with API keys cut to their family."""
    return _KEY.sub(r"\1***", text)
