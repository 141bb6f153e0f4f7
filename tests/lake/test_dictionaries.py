"""A column with a dictionary has the values that it had, and files say the same of it."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.data_files import parquet, statistics
from lake.dictionaries import encoded, indices_of, with_dictionaries, without_dictionaries
from lake.partitioning import hours_of, partitioned
from lake.schema import SPANS
from tests.lake.spans import START

WORDS = st.sampled_from(["", "cart", "checkout", "ä", None])
RUNS = st.lists(st.tuples(WORDS, st.integers(1, 700)), max_size=8)
PLAIN = SPANS.plain.union(SPANS.sort)


@given(RUNS, st.none() | st.randoms())
def test_what_is_encoded_is_what_it_was(runs, random):
    values = [word for word, length in runs for _ in range(length)]
    if random:
        random.shuffle(values)
    column = pa.chunked_array([values[:50], values[50:]], pa.string())
    found = encoded(column)
    assert found.cast(pa.string()).to_pylist() == values
    assert [None if i < 0 else found.dictionary[i].as_py() for i in indices_of(found, null=-1)] == values


def test_numbers_are_encoded_too():
    assert encoded(pa.array([7, None, 7], pa.int64())).to_pylist() == [7, None, 7]


def test_texts_get_a_dictionary_where_they_are_wanted_and_lose_it_again(make_spans):
    rows = make_spans(5)
    found = with_dictionaries(rows, set(rows.column_names) - PLAIN)
    changed = {name for name in rows.column_names if pa.types.is_dictionary(found.schema.field(name).type)}
    filled = {name for name in rows.column_names if rows.column(name).null_count < len(rows)}
    assert changed == {name for name in filled - PLAIN if pa.types.is_string(rows.schema.field(name).type)}
    assert without_dictionaries(found).equals(rows)
    assert [field.nullable for field in found.schema] == [field.nullable for field in rows.schema]


@pytest.fixture
def two_hours(make_spans):
    """Spans of two hours, each with a service of its own."""
    return pa.concat_tables(
        [make_spans(5, service=f"service-{hour}", start=START + dt.timedelta(hours=hour)) for hour in range(2)]
    )


def written(rows):
    """Bytes and statistics of each file, of rows with and without dictionaries."""

    def files(made):
        parts = partitioned(made, hours_of(made, SPANS.time), SPANS, max_rows=100)
        return [(bytes(parquet(SPANS, part)), statistics(SPANS, part)) for _, part in parts]

    return files(with_dictionaries(rows, set(rows.column_names) - PLAIN)), files(rows)


def test_files_have_the_same_rows_and_statistics(two_hours):
    for rows in (two_hours, two_hours.slice(0, 5)):
        with_, without = written(rows)
        assert [said for _, said in with_] == [said for _, said in without]
        for (left, _), (right, _) in zip(with_, without, strict=True):
            assert pq.read_table(pa.BufferReader(left)).equals(pq.read_table(pa.BufferReader(right)))


def test_a_file_has_no_words_of_the_rows_of_another(two_hours):
    for number, (data, said) in enumerate(written(two_hours)[0]):
        assert json.loads(said)["minValues"]["service_name"] == f"service-{number}"
        assert f"service-{1 - number}".encode() not in data
