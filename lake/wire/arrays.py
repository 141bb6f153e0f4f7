"""Arrays: numpy to Arrow without the detour that `pa.array` takes, and back.

`pa.array` asks for pandas at every call, which costs more than a small conversion itself; a batch of spans makes some
fifty of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_TYPES = {np.dtype(t): pa.from_numpy_dtype(t) for t in (np.int16, np.int32, np.int64, np.uint64, np.float64)}

_NO_ITEMS = pa.scalar(0, pa.int32())


def numbers(values: npt.NDArray[Any], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers as an Arrow array over the same memory; null where `null` is true."""
    valid = None if null is None else pa.py_buffer(np.packbits(~null, bitorder="little"))
    content = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(_TYPES[values.dtype], len(values), [valid, content])


def booleans(values: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    """Booleans as an Arrow array."""
    return pa.BooleanArray.from_buffers(
        pa.bool_(), len(values), [None, pa.py_buffer(np.packbits(values, bitorder="little"))]
    )


def lists(kind: pa.DataType, offsets: npt.NDArray[np.int32], items: pa.Array) -> pa.Array:
    """Lists or maps of `items`, cut at `offsets`, null where there are none; for a map the items are key-value structs."""
    filled = offsets[1:] > offsets[:-1]
    valid = None if filled.all() else pa.py_buffer(np.packbits(filled, bitorder="little"))
    return pa.Array.from_buffers(
        kind, len(offsets) - 1, [valid, pa.py_buffer(np.ascontiguousarray(offsets))], children=[items]
    )


def offsets_of(lists: pa.ListArray) -> npt.NDArray[np.int32]:
    """Where each row's items lie in `lists.flatten()`; a null list has none."""
    offsets: npt.NDArray[np.int32]
    if not lists.null_count:
        offsets = np.frombuffer(lists.buffers()[1], dtype=np.int32)[lists.offset : lists.offset + len(lists) + 1]
        offsets = offsets - offsets[0]
        return offsets
    offsets = np.zeros(len(lists) + 1, dtype=np.int32)
    np.cumsum(pc.fill_null(pc.list_value_length(lists), _NO_ITEMS).to_numpy(), out=offsets[1:])
    return offsets


def owners_of(lists: pa.ListArray) -> npt.NDArray[np.int32]:
    """The row that each of `lists.flatten()` belongs to."""
    offsets = offsets_of(lists)
    return np.repeat(np.arange(len(lists), dtype=np.int32), offsets[1:] - offsets[:-1])


def text_of_doubles(values: npt.NDArray[np.float64]) -> pa.StringArray:
    """The shortest text that reads back as the same double."""
    return numbers(values).cast(pa.string())
