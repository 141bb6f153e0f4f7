"""JSON text: Arrow columns to JSON, whole columns at a time.

Takes   columns.
Gives   columns of JSON text, one value a row: literals, objects, arrays.
Refuses nothing.

An answer about one trace has a few spans and many fields. Python objects cost too much for the largest traces, and SQL
that builds the same text costs 50 ms to plan for the smallest; these are some Arrow calls a field.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

Indices = npt.NDArray[np.int64]

_ESCAPED = r'[\x00-\x1f"\\]'
_NULL = pa.scalar("null", pa.string())
_EMPTY, _COMMA, _QUOTE = (pa.scalar(text, pa.string()) for text in ("", ",", '"'))


def strings(texts: pa.StringArray) -> pa.StringArray:
    """JSON strings; null for null."""
    quoted = pc.binary_join_element_wise(_QUOTE, texts, _QUOTE, _EMPTY)
    if _may_need_escapes(texts):
        odd = pc.fill_null(pc.match_substring_regex(texts, _ESCAPED), fill_value=False)
        distinct = texts.filter(odd).dictionary_encode()
        escaped = pa.array([orjson.dumps(text).decode() for text in distinct.dictionary.to_pylist()], pa.string())
        quoted = pc.replace_with_mask(quoted, odd, escaped.take(distinct.indices))
    return literals(quoted)


def _may_need_escapes(texts: pa.StringArray) -> bool:
    """Whether any byte that the texts share memory with is a control character, a quote or a backslash."""
    data = texts.buffers()[2]
    if data is None:
        return False
    found = np.frombuffer(data, dtype=np.uint8)
    return bool(((found < ord(" ")) | (found == ord('"')) | (found == ord("\\"))).any())


def literals(texts: pa.Array) -> pa.StringArray:
    """Values whose text is JSON already, such as numbers; null for null."""
    if not pa.types.is_string(texts.type):
        texts = texts.cast(pa.string())
    return pc.fill_null(texts, _NULL) if texts.null_count else texts


def objects(fields: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """One object a row out of columns of JSON text by name."""
    parts: list[pa.Scalar | pa.StringArray] = []
    for name, values in fields.items():
        opening = "," if parts else "{"
        parts += [pa.scalar(f"{opening}{orjson.dumps(name).decode()}:", pa.string()), values]
    return pc.binary_join_element_wise(*parts, pa.scalar("}", pa.string()), _EMPTY)


def members(keys: pa.StringArray, values: pa.StringArray) -> pa.StringArray:
    """`"key":value`, one a row."""
    return pc.binary_join_element_wise(strings(keys), pa.scalar(":", pa.string()), values, _EMPTY)


def gathered(items: pa.StringArray, rows: Indices, row_count: int, brackets: str) -> pa.StringArray:
    """The items of each row, in order, with commas between them and brackets around.

    Args:
        rows: the row of each item, in any order.
        brackets: `[]` or `{}`.
    """
    order = np.argsort(rows, kind="stable")
    offsets = np.zeros(row_count + 1, dtype=np.int32)
    np.cumsum(np.bincount(rows, minlength=row_count), out=offsets[1:])
    lists = pa.ListArray.from_arrays(pa.array(offsets), items.take(pa.array(order)))
    return pc.binary_join_element_wise(brackets[0], pc.binary_join(lists, _COMMA), brackets[1], _EMPTY)
