"""Bloom filters: which Parquet files can hold one of some values.

Takes   data files, and values of a text column that has a bloom filter.
Gives   a footer's note of where the filters lie, and what they say of values.
Refuses nothing; a damaged or missing file raises what pyarrow and the system raise.

Of a filter only the 32 bytes are read that a value would have set bits in, so a look costs microseconds and no memory,
however large the filter is. A query that asks DuckDB's `parquet_bloom_probe` takes milliseconds to plan.

The format: https://github.com/apache/parquet-format/blob/master/BloomFilter.md, "split block Bloom filters".
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

_BLOCK_BYTES = 32
_SALTS = np.array(
    [0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31], dtype=np.uint32
)
"""One for each word of a block, from the format."""

_SCHEMA = pa.schema([("offset", pa.int64()), ("size", pa.int64())])


def filters_of(path: str, column: str) -> pa.Table:
    """Where the bits of a column's filters lie: offset and size in bytes for each row group, null where there is none."""
    metadata = pq.read_metadata(path)
    places = [place for place in range(metadata.num_columns) if metadata.schema.column(place).path == column]
    chunks = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups) for place in places]
    found = [_bits(chunk.bloom_filter_offset, chunk.bloom_filter_length) for chunk in chunks]
    return pa.table([pa.array(column) for column in zip(*found, strict=True)] or [[], []], schema=_SCHEMA)


def _bits(offset: int | None, length: int | None) -> tuple[int | None, int | None]:
    """The bits of a filter, which come behind its header: a power of two of bytes, and the header is shorter."""
    if offset is None or length is None:
        return None, None
    size = 1 << (length.bit_length() - 1)
    return offset + length - size, size


class Wanted:
    """Values that are looked for."""

    def __init__(self, values: Sequence[str]) -> None:
        self._hashes = [xxhash.xxh64_intdigest(value.encode()) for value in values]
        low = np.array([hash_ & 0xFFFFFFFF for hash_ in self._hashes], dtype=np.uint32)
        self._masks: npt.NDArray[np.uint32] = np.uint32(1) << ((low[:, None] * _SALTS) >> np.uint32(27))

    def may_be_in(self, path: str, filters: pa.Table) -> bool:
        """Whether a file can hold one of the values.

        Args:
            filters: `filters_of` the file.
        """
        if filters.column("offset").null_count or not filters.num_rows:
            return True
        file = os.open(path, os.O_RDONLY)
        try:
            return any(self._may_have(file, group["offset"], group["size"]) for group in filters.to_pylist())
        finally:
            os.close(file)

    def _may_have(self, file: int, offset: int, size: int) -> bool:
        blocks = size // _BLOCK_BYTES
        for hash_, mask in zip(self._hashes, self._masks, strict=True):
            block = (hash_ >> 32) * blocks >> 32
            words = np.frombuffer(os.pread(file, _BLOCK_BYTES, offset + block * _BLOCK_BYTES), dtype="<u4")
            if (words & mask == mask).all():
                return True
        return False
