"""What was read from data files is kept, within bounds."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake.errors import LakeCorrupt
from lake.file_cache import FileCache

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string())])


@pytest.fixture
def file(tmp_path):
    """Makes a file of `n` rows with a column more than is asked for; returns its path."""

    def make(name="one", n=3):
        path = str(tmp_path / f"{name}.parquet")
        pq.write_table(pa.table({"b": ["x"] * n, "a": range(n), "c": [0.5] * n}), path)
        return path

    return make


def test_a_file_is_read_once_and_only_the_columns_that_are_wanted(file, tmp_path):
    cache, path = FileCache(2**20), file()
    first = cache.rows(path, SCHEMA)
    assert first.schema == SCHEMA
    assert first.to_pylist() == [{"a": n, "b": "x"} for n in range(3)]
    (tmp_path / "one.parquet").unlink()
    assert cache.rows(path, SCHEMA) is first
    with pytest.raises(LakeCorrupt, match="is gone"):
        cache.rows(path, pa.schema([SCHEMA.field("a")]))


def count(rows):
    return pa.table({"n": [rows.num_rows]})


def test_a_digest_is_made_once_for_the_same_files(file):
    cache, paths = FileCache(2**20), [file("one"), file("two", 4)]
    made = cache.digest(paths, SCHEMA, count)
    assert made.to_pylist() == [{"n": 7}]
    assert cache.digest(paths, SCHEMA, count) is made
    assert cache.digest([*paths, file("three", 1)], SCHEMA, count).to_pylist() == [{"n": 8}]
    assert cache.digest(paths[:1], SCHEMA, count).to_pylist() == [{"n": 3}]


def test_what_was_asked_for_longest_ago_goes_when_there_is_too_much(file):
    paths = [file(name, 1000) for name in ("one", "two", "three")]
    size = FileCache(2**20).rows(paths[0], SCHEMA).nbytes
    cache = FileCache(2 * size)
    one, two = (cache.rows(path, SCHEMA) for path in paths[:2])
    assert cache.rows(paths[0], SCHEMA) is one
    cache.rows(paths[2], SCHEMA)
    assert cache.rows(paths[0], SCHEMA) is one
    assert cache.rows(paths[1], SCHEMA) is not two


def test_one_that_is_too_large_is_read_all_the_same(file):
    assert FileCache(1).rows(file(n=100), SCHEMA).num_rows == 100


def test_a_damaged_file_says_what_to_do(tmp_path):
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1 no parquet at all PAR1")
    with pytest.raises(LakeCorrupt, match="tracelake doctor"):
        FileCache(1).rows(str(path), SCHEMA)
