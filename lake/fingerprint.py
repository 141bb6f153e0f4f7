"""Fingerprint: which errors are the same one.

Takes   class, message and backtrace of errors, as columns.
Gives   the line of the application where each was raised, and a fingerprint: equal for errors that differ only in ids,
        numbers and quoted texts of their message.
Refuses nothing.

The fingerprint is that of the Ruby gem `miniapm` 0.1.0, so that an error reported by it and the same one reported by
curl fall together: the first 32 hex digits of the SHA-256 of class, normalised message and line, joined by newlines, the
line only if there is one. For a Ruby backtrace the line is the gem's too: the first without `/gems/`, `/ruby/` or
`/vendor/` that does not begin with `<`. Two other forms are told apart by their shape: of a Python traceback the line is
the innermost frame, and of a stack of `at ...` lines (JavaScript, Java, .NET) the first such line, libraries left out.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_DIGITS = 32
_MESSAGE_MAX_CHARACTERS = 200

_NORMALISE = (
    (r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", "UUID"),
    (r"\b\d+\b", "N"),
    (r"'[^']*'", "'X'"),
    (r'"[^"]*"', '"X"'),
)
"""Pattern and replacement, in the gem's order."""

_RUBY_LIBRARY = r"/gems/|/ruby/|/vendor/|^<"
_PYTHON_HEAD, _PYTHON_FRAME = r"^Traceback \(most recent call last\)", r'^\s+File "'
_PYTHON_LIBRARY = r"/site-packages/|/dist-packages/|/lib/python\d|<frozen "
_AT_FRAME, _AT_LIBRARY = r"^\s+at ", r"node_modules/|node:|\(<anonymous>\)|\bat (?:java|javax|jdk|sun|System)\."


def app_lines(backtraces: pa.ListArray) -> pa.StringArray:
    """The line of the application in each backtrace, without the space around it; null where there is none.

    Args:
        backtraces: list<string>, one line each.
    """
    lines = backtraces.flatten()
    offsets = np.zeros(len(backtraces) + 1, dtype=np.int64)
    np.cumsum(pc.fill_null(pc.list_value_length(backtraces), 0).to_numpy(zero_copy_only=False), out=offsets[1:])
    owner = np.repeat(np.arange(len(backtraces)), np.diff(offsets))
    at_frame = _matches(lines, _AT_FRAME)
    is_python = _any(_matches(lines, _PYTHON_HEAD), owner, len(backtraces))
    has_at_frames = _any(at_frame, owner, len(backtraces)) & ~is_python
    is_ruby = ~is_python & ~has_at_frames
    wanted = np.where(
        is_python[owner],
        _matches(lines, _PYTHON_FRAME) & ~_matches(lines, _PYTHON_LIBRARY),
        np.where(
            has_at_frames[owner],
            at_frame & ~_matches(lines, _AT_LIBRARY),
            is_ruby[owner] & ~_matches(lines, _RUBY_LIBRARY) & ~_matches(lines, r"^\s*$"),
        ),
    )
    places = np.flatnonzero(wanted)
    chosen = np.full(len(backtraces), -1, dtype=np.int64)
    chosen[owner[places[::-1]]] = places[::-1]  # the last assignment wins: the first line of each
    innermost = np.full(len(backtraces), -1, dtype=np.int64)
    innermost[owner[places]] = places
    chosen = np.where(is_python, innermost, chosen)
    return pc.utf8_trim_whitespace(lines.take(pa.array(chosen, mask=chosen < 0)))


def fingerprints(exception_class: pa.StringArray, message: pa.StringArray, location: pa.StringArray) -> pa.StringArray:
    """The fingerprint of each error, 32 hex digits.

    Args:
        location: from `app_lines`; null where there is none.
    """
    normal = message
    for pattern, replacement in _NORMALISE:
        normal = pc.replace_substring_regex(normal, pattern, replacement)
    normal = pc.utf8_slice_codeunits(normal, 0, _MESSAGE_MAX_CHARACTERS)
    parts = pc.binary_join_element_wise(exception_class, normal, location, "\n", null_handling="skip")
    distinct = parts.dictionary_encode()  # few errors are new ones
    hashes = [sha256(text.encode()).hexdigest()[:_DIGITS] for text in distinct.dictionary.to_pylist()]
    return pa.array(hashes, pa.string()).take(distinct.indices)


def _matches(lines: pa.StringArray, pattern: str) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.fill_null(pc.match_substring_regex(lines, pattern), fill_value=False).to_numpy(
        zero_copy_only=False
    )
    return found


def _any(mask: npt.NDArray[np.bool_], owner: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    """Whether the mask is true for any line of each backtrace."""
    found = np.zeros(count, dtype=np.bool_)
    found[owner[mask]] = True
    return found
