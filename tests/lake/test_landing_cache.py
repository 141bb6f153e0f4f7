"""Landing files are decoded once, and their exceptions derived once, as long as there is room."""

import pytest

from lake.derived.exceptions import exceptions_of
from lake.relations import LandingCache
from lake.schema import SPANS
from tests.lake.rows import exception_event, span

SCHEMA = SPANS.arrow_schema


@pytest.fixture
def files(landing):
    return [landing.put("spans", span(n, events=[exception_event(f"no {n} hats")])) for n in range(3)]


def test_a_file_is_decoded_once(files):
    cache = LandingCache(2**20)
    assert cache.rows(files[0], SCHEMA) is cache.rows(files[0], SCHEMA)
    assert cache.rows(files[1], SCHEMA) is not cache.rows(files[0], SCHEMA)


def test_the_exceptions_of_a_file_are_derived_once(files):
    cache = LandingCache(2**20)
    found = cache.derived(files[0], SPANS, "exceptions")
    assert found.to_pylist() == exceptions_of(cache.rows(files[0], SCHEMA)).to_pylist()
    assert found.column("message").to_pylist() == ["no 0 hats"]
    assert cache.derived(files[0], SPANS, "exceptions") is found


def test_what_was_asked_for_longest_ago_goes_when_there_is_too_much(files):
    size = LandingCache(2**20).rows(files[0], SCHEMA).nbytes
    cache = LandingCache(2 * size + size // 2)
    first, second = (cache.rows(file, SCHEMA) for file in files[:2])
    assert cache.rows(files[0], SCHEMA) is first
    cache.rows(files[2], SCHEMA)
    assert cache.rows(files[0], SCHEMA) is first
    assert cache.rows(files[1], SCHEMA) is not second
