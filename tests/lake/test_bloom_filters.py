"""Files without a value are left out by their bloom filters, and no file that has it."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import data_files
from lake.errors import LakeCorrupt
from lake.file_cache import FileCache
from lake.schema import SPANS
from tests.lake.rows import span, trace_id

COUNT = 600


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Data files of three row groups each, which have the traces from 0, 600 and 1200 on."""
    monkeypatch.setattr(data_files, "ROW_GROUP_ROWS", COUNT // 3)
    paths = []
    for first in (0, COUNT, 2 * COUNT):
        rows = pa.Table.from_pylist([span(first + n) for n in range(COUNT)], schema=SPANS.arrow_schema)
        paths.append(tmp_path / f"{first}.parquet")
        paths[-1].write_bytes(data_files.parquet(SPANS, rows))
    return [str(path) for path in paths]


def test_no_file_is_left_out_that_has_the_value(files):
    cache = FileCache(2**20)
    for number in range(3 * COUNT):
        assert files[number // COUNT] in cache.with_any("trace_id", [trace_id(number)], files)


def test_what_a_filter_says_is_what_duckdb_reads_from_it(files):
    cache = FileCache(2**20)
    values = [trace_id(number) for number in range(3 * COUNT, 4 * COUNT)]
    found = {value: cache.with_any("trace_id", [value], files) for value in values}
    assert sum(map(len, found.values())) < 0.01 * len(values) * len(files)
    listed = ", ".join(f"'{file}'" for file in files)
    for value in [*values[:50], *(value for value in values if found[value])]:
        probe = f"SELECT DISTINCT file_name FROM parquet_bloom_probe([{listed}], 'trace_id', '{value}')"
        rows = duckdb.execute(f"{probe} WHERE NOT bloom_filter_excludes").fetchall()
        assert sorted(name for (name,) in rows) == sorted(found[value])


def test_of_several_values_one_is_enough(files):
    cache, absent = FileCache(2**20), [trace_id(9_000_000), trace_id(9_000_001)]
    assert cache.with_any("trace_id", [absent[0], trace_id(COUNT + 5), absent[1]], files) == [files[1]]
    assert cache.with_any("trace_id", absent, files) == []


def test_a_column_without_filters_leaves_nothing_out(files, tmp_path):
    cache = FileCache(2**20)
    assert cache.with_any("span_id", ["nobody"], files) == files
    plain = str(tmp_path / "plain.parquet")
    pq.write_table(pa.table({"trace_id": ["a"]}), plain)
    assert cache.with_any("trace_id", ["b"], [plain]) == [plain]


def test_a_file_that_is_gone_or_damaged_is_said(files, tmp_path):
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 and nothing more PAR1")
    with pytest.raises(LakeCorrupt, match="is damaged"):
        FileCache(2**20).with_any("trace_id", [trace_id(1)], [str(damaged)])
    with pytest.raises(LakeCorrupt, match="is gone"):
        FileCache(2**20).with_any("trace_id", [trace_id(1)], [str(tmp_path / "gone.parquet")])
