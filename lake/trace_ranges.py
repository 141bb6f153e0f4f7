"""Trace ranges: the rows of many files in the order of their trace ids, a part at a time.

Takes   data files, each sorted by trace id.
Gives   parts of about `RANGE_ROWS` rows; all spans of a trace are in one of them, and the ranges of the parts are disjoint.
Refuses nothing.

Every file is read once, however many there are, and memory follows `RANGE_ROWS` and the largest row group, not the rows
of all. More rows than one part go through a scratch folder: each file is cut at the bounds of the parts, and its pieces
are put aside, one Arrow file per part.
"""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .errors import CommitConflict, LakeCorrupt
from .landing import conform

RANGE_ROWS = 50_000
"""Rows of a part; a trace that has more makes a larger one."""

SCRATCH = "rewriting"
"""Folder of a lake with what is put aside; retention removes what a killed process left there."""

_SAMPLE_EVERY = 500
"""Rows of which one is looked at to find the bounds of the parts."""

_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")


def parts(paths: Sequence[Path], schema: pa.Schema, row_count: int, scratch: Path) -> Iterator[pa.Table]:
    """The rows of some files, part by part; not sorted inside a part, which may be empty.

    Args:
        schema: columns of the rows; a file may lack some that came later.
        row_count: rows of all files.
        scratch: folder to put rows aside in; made when needed, and empty afterwards.

    Raises:
        CommitConflict: a file has a column that is not in `schema`: it was promoted a moment ago.
        LakeCorrupt: a file is missing or damaged.
    """
    cuts = bounds(paths, row_count)
    if not len(cuts):
        yield pa.concat_tables([schema.empty_table(), *_row_groups(paths, schema)])
        return
    with _folder(scratch) as folder:
        aside = [folder / f"{number}.arrow" for number in range(len(cuts) + 1)]
        _put_aside(_row_groups(paths, schema), schema, cuts, aside)
        for path in aside:
            yield _take_back(path)  # not held here while the next one is read


def bounds(paths: Sequence[Path], row_count: int) -> pa.Array:
    """The trace ids where one part ends and the next begins, none if one part is enough."""
    if row_count <= RANGE_ROWS:
        return pa.array([], pa.string())
    samples, seen = [], 0
    for path in paths:
        with opened(path) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["trace_id"]).column("trace_id")
                samples.append(ids.take(pa.array(np.arange(-seen % _SAMPLE_EVERY, len(ids), _SAMPLE_EVERY))))
                seen += len(ids)
    ordered = pa.chunked_array([chunk for sample in samples for chunk in sample.chunks], pa.string()).sort()
    step = max(1, RANGE_ROWS // _SAMPLE_EVERY)
    return ordered.take(pa.array(np.arange(step, len(ordered), step))).unique()


def _row_groups(paths: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    for path in paths:
        with opened(path) as file:
            if unknown := set(file.schema_arrow.names) - set(schema.names):
                raise CommitConflict(
                    f"{path} has columns that were promoted a moment ago ({', '.join(unknown)}): plan again"
                )
            for group in range(file.num_row_groups):
                yield conform(file.read_row_group(group, use_threads=False), schema)


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A data file, each page verified when it is read.

    Raises:
        LakeCorrupt: it is missing or damaged.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise  # the disk failed, which says nothing about the file
        raise LakeCorrupt(f"{path} is missing or damaged ({error}): `tracelake doctor` says what to do") from error


def _put_aside(tables: Iterator[pa.Table], schema: pa.Schema, cuts: pa.Array, aside: Sequence[Path]) -> None:
    """Write the rows below the first cut to the first file, and so on."""
    with ExitStack() as stack:
        files = [stack.enter_context(pa.OSFile(str(path), "wb")) for path in aside]
        writers = [stack.enter_context(pa.ipc.new_stream(file, schema, options=_LZ4)) for file in files]
        for rows in tables:
            ids = rows.column("trace_id").combine_chunks()
            places = [0, *pc.search_sorted(ids, cuts).to_pylist(), len(ids)]
            for writer, (begin, end) in zip(writers, pairwise(places), strict=True):
                if end > begin:
                    writer.write_table(rows.slice(begin, end - begin))


def _take_back(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        rows = stream.read_all()
    path.unlink()
    return rows


@contextmanager
def _folder(scratch: Path) -> Iterator[Path]:
    """A folder of its own for each caller: a process that was stopped past its lease may still be writing in another."""
    folder = scratch / secrets.token_hex(8)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
