"""How many queries run at once, and who waits."""

import asyncio

import pytest

from api.admission import Admission
from lake.errors import Overloaded


class Queries:
    """Queries that run until they are told to end."""

    def __init__(self, **limits):
        self.admission = Admission(**({"at_once": 2, "waiting": 4, "wait_s": 30} | limits))
        self.running = []
        self._end = {}

    def start(self, name, key):
        self._end[name] = asyncio.Event()
        return asyncio.create_task(self._run(name, key))

    async def _run(self, name, key):
        async with self.admission.place(key):
            self.running.append(name)
            await self._end[name].wait()
            self.running.remove(name)

    async def end(self, name):
        self._end[name].set()
        await settled()


async def settled():
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_few_run_at_once_and_the_others_one_after_the_other():
    async def story():
        queries = Queries()
        tasks = [queries.start(name, name) for name in "abcd"]
        await settled()
        assert queries.running == ["a", "b"]
        await queries.end("a")
        assert queries.running == ["b", "c"]
        await queries.end("c")
        assert queries.running == ["b", "d"]
        for name in "bd":
            await queries.end(name)
        await asyncio.gather(*tasks)
        assert queries.running == []

    asyncio.run(story())


def test_a_key_has_one_running_and_others_pass_it_by():
    async def story():
        queries = Queries()
        tasks = [queries.start("a1", "a"), queries.start("a2", "a"), queries.start("b1", "b")]
        await settled()
        assert queries.running == ["a1", "b1"]
        await queries.end("b1")
        assert queries.running == ["a1"]
        await queries.end("a1")
        assert queries.running == ["a2"]
        await queries.end("a2")
        await asyncio.gather(*tasks)

    asyncio.run(story())


def test_what_finds_no_place_to_wait_in_is_refused_and_a_key_has_half_of_them():
    async def story():
        queries = Queries()
        tasks = [queries.start(f"a{number}", "a") for number in range(3)]
        await settled()
        with pytest.raises(Overloaded, match="too many queries wait"):
            await queries.start("a3", "a")
        tasks += [queries.start("b0", "b"), queries.start("b1", "b"), queries.start("c0", "c")]
        await settled()
        with pytest.raises(Overloaded) as refused:
            await queries.start("d0", "d")
        assert refused.value.retry_after_s > 0
        for name in ("a0", "b0", "a1", "b1", "c0", "a2"):
            await queries.end(name)
        await asyncio.gather(*tasks)

    asyncio.run(story())


def test_who_waits_too_long_is_refused_and_leaves_its_place():
    async def story():
        queries = Queries(at_once=1, waiting=2, wait_s=0.01)
        running = queries.start("a", "a")
        await settled()
        for _ in range(3):
            with pytest.raises(Overloaded, match="has waited"):
                await queries.start("b", "b")
        await queries.end("a")
        await running
        other = queries.start("c", "c")
        await settled()
        assert queries.running == ["c"]
        await queries.end("c")
        await other

    asyncio.run(story())


def test_a_query_that_fails_or_is_given_up_leaves_its_place():
    async def story():
        admission = Admission(at_once=1, waiting=2, wait_s=30)
        with pytest.raises(ValueError, match="no"):
            async with admission.place("a"):
                raise ValueError("no")
        queries = Queries(at_once=1)
        first, second = queries.start("a", "a"), queries.start("b", "b")
        await settled()
        for task in (second, first):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        third = queries.start("c", "c")
        await settled()
        assert "c" in queries.running
        await queries.end("c")
        await third

    asyncio.run(story())
