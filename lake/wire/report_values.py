"""Report values: the value of one field of an error, deploy or request metric, checked.

Takes   a field's name as it was sent and its JSON value, neither null nor an empty text.
Gives   the value of the column; None where the value is worth nothing, but no reason to refuse the report.
Refuses a value of a wrong type: `WireError` names the field and says what it must be.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from ..errors import WireError
from .json_columns import quoted

MAX_NAME_CHARACTERS = 512
"""Names, ids and versions; longer ones are refused, since a cut id is another id."""
MAX_TEXT_CHARACTERS = 65_536
"""Messages, descriptions and lines of a backtrace; longer ones are cut."""
MAX_BACKTRACE_LINES = 500
"""Of a longer backtrace the middle is left out: the cause stands at its top or, in Python, at its bottom."""

Value = Any
"""A JSON value: dict, list, str, int, float, bool or None."""
Reader = Callable[[str, Value], Value]
"""From name and value as sent to the value of the column."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_US = 2**63 // 1000
"""Where nanoseconds of 64 bits end, in 2262; times of spans end there too."""
_ISO_8601 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<clock>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2})?(?:[.,](?P<fraction>[0-9]+))?"
    r"(?P<zone> ?(?:[Zz]|UTC|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
"""RFC 3339, and around it what date(1) and Ruby's `Time#to_s` write. `fromisoformat` alone differs between Pythons."""
_EPOCH_TEXT = re.compile(r"[0-9]{10,19}(?:\.[0-9]{1,9})?")


def name_text(max_characters: int = MAX_NAME_CHARACTERS) -> Reader:
    """Reader of text to group and compare by: ids, names, versions. A whole number stands for its digits."""
    rule = f"text of at most {max_characters} characters or a whole number of 64 bits"

    def read(name: str, value: Value) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
            return str(value)
        if not isinstance(value, str) or len(value) > max_characters:
            raise wrong(name, value, rule)
        return _without_nul(name, value)

    return read


def class_name(name: str, value: Value) -> str:
    """The class of an error."""
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARACTERS:
        raise wrong(name, value, f"text of 1 to {MAX_NAME_CHARACTERS} characters")
    return _without_nul(name, value)


def long_text(name: str, value: Value) -> str:
    """Text that people read."""
    if not isinstance(value, str):
        raise wrong(name, value, "text")
    return _without_nul(name, value[:MAX_TEXT_CHARACTERS])


def backtrace(name: str, value: Value) -> list[str]:
    """The lines of a backtrace, sent as one text or as a list of texts of one or more lines (as Python formats them)."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or set(map(type, texts)) - {str}:
        raise wrong(name, value, "a list of texts or one text with line breaks")
    lines = [line.rstrip("\r") for text in _both_ends(texts) for line in _lines(text.rstrip("\r\n"))]
    _without_nul(name, "".join(lines))
    return [line[:MAX_TEXT_CHARACTERS] for line in _both_ends(lines)]


def _both_ends(texts: list[str]) -> list[str]:
    half = MAX_BACKTRACE_LINES // 2
    return texts if len(texts) <= MAX_BACKTRACE_LINES else texts[:half] + texts[-half:]


def _lines(text: str) -> list[str]:
    """The lines of a text, of too many the first and last; so that a text of line breaks alone costs no memory."""
    lines = text.split("\n", MAX_BACKTRACE_LINES)
    return lines if len(lines) <= MAX_BACKTRACE_LINES else lines[:-1] + text.rsplit("\n", MAX_BACKTRACE_LINES)[1:]


def hex_id(digits: int) -> Reader:
    """Reader of a trace or span id. One that is none loses the link to a trace, which is no reason to lose the error."""
    pattern = re.compile(f"[0-9a-fA-F]{{{digits}}}")

    def read(_: str, value: Value) -> str | None:
        return value.lower() if isinstance(value, str) and pattern.fullmatch(value) and value.strip("0") else None

    return read


def time_us(name: str, value: Value) -> int:
    """Microseconds since the Unix epoch, from ISO 8601 text (UTC if it names no zone) or an epoch number.

    The unit of a number is told by its size: seconds below 10^11 (the year 5138), milliseconds below 10^14, microseconds
    below 10^17, then nanoseconds.
    """
    found = _iso_us(value) if isinstance(value, str) else _epoch_us(value) if _is_number(value) else None
    if found is None or not 0 <= found < _END_US:
        rule = "a time such as 2024-01-15T14:30:00Z or an epoch number in s, ms, us or ns, from 1970 to 2262"
        raise wrong(name, value, rule)
    return found


def _iso_us(text: str) -> int | None:
    if _EPOCH_TEXT.fullmatch(text):
        return _epoch_us(Decimal(text))
    found = _ISO_8601.fullmatch(text)
    if not found:
        return None
    part = found.groupdict(default="")
    zone = part["zone"].strip() if part["zone"][-1:].isdigit() else "+00:00"
    clock = (part["clock"] or "00:00") + (part["second"] or ":00")
    try:
        time = datetime.fromisoformat(f"{part['date']}T{clock}.{part['fraction'][:6]:0<6}{zone}")
    except ValueError:  # the 30th of February
        return None
    return (time - _EPOCH) // timedelta(microseconds=1)


def _epoch_us(number: float | Decimal) -> int:
    for below, factor in ((10**11, 10**6), (10**14, 10**3), (10**17, 1)):
        if number < below:
            return round(number * factor)
    return int(number // 1000)


def whole_number(name: str, value: Value) -> int:
    """A count or status code."""
    if not _is_number(value) or not 0 <= value < 2**63 or value != value // 1:
        raise wrong(name, value, "a whole number of 64 bits, 0 or more")
    return int(value)


def milliseconds(name: str, value: Value) -> float:
    """A duration."""
    if not _is_number(value) or not 0 <= value < 2**63:
        raise wrong(name, value, "a number of milliseconds, 0 or more")
    return float(value)


def json_text(name: str, value: Value) -> str | None:
    """Any value as JSON; an empty list or object is worth nothing."""
    if value in ([], {}):
        return None
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError as error:
        raise WireError(f"{name} is nested too deeply") from error


def json_object(name: str, value: Value) -> str | None:
    """An object as JSON; an empty list is an empty object to PHP."""
    if not isinstance(value, dict) and value != []:
        raise wrong(name, value, "an object")
    return json_text(name, value)


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _without_nul(name: str, text: str) -> str:
    if "\0" in text:
        raise WireError(f"{name} must not have NUL characters (\\u0000): leave them out")
    return text


def wrong(name: str, value: Value, rule: str) -> WireError:
    """The error for a value of a wrong type."""
    return WireError(f"{name} must be {rule}, not {_shown(value)}")


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value) if abs(value) < 2**64 else "a number beyond 64 bits"
