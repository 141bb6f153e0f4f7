"""Methods: what turns the description of a call into a method, for callers with and without asyncio.

Takes   a function of `lake.client.calls` or `lake.client.questions`, which gives a `Call`.
Gives   a method or coroutine with its arguments, types and docstring that makes the call; for lists also an iterator over
        all pages.
Refuses a list that does not go on: a cursor that comes twice (`BadAnswer`).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from .call import Call, continued
from .errors import BadAnswer
from .models.paging import Page

P = ParamSpec("P")
T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])


class Runs(Protocol):
    """Makes calls."""

    def run(self, call: Call[T]) -> T: ...


class RunsAsync(Protocol):
    """Makes calls, with asyncio."""

    async def run(self, call: Call[T]) -> T: ...


class Paging(Generic[T]):
    """Where in a list of pages somebody is."""

    def __init__(self, first: Call[Page[T]]) -> None:
        self._first = first
        self._seen: set[str] = set()
        self.call: Call[Page[T]] | None = first
        """The call for the next page, None after the last one."""

    def items(self, page: Page[T]) -> list[T]:
        """The items of the page that came; goes on to the next one.

        Raises:
            BadAnswer: it leads to a page that was there already, or to none.
        """
        self.call = None
        if page.has_more:
            if not page.next_cursor or page.next_cursor in self._seen:
                raise BadAnswer("the list does not go on: its cursor is missing or was there before")
            self._seen.add(page.next_cursor)
            self.call = continued(self._first, page.next_cursor)
        return page.data


def method(describe: Callable[P, Call[T]]) -> Callable[Concatenate[Runs, P], T]:
    """The method that makes a call."""

    def make(self: Runs, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(describe(*args, **kwargs))

    return _signed(make, describe, "Call")


def pages(describe: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[Runs, P], Iterator[T]]:
    """The method that goes through a list, page after page as far as somebody reads."""

    def make(self: Runs, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        paging = Paging(describe(*args, **kwargs))
        while paging.call is not None:
            yield from paging.items(self.run(paging.call))

    return _signed(make, describe, "Call[Page", "Iterator[{}]")


def coroutine(describe: Callable[P, Call[T]]) -> Callable[Concatenate[RunsAsync, P], Coroutine[Any, Any, T]]:
    """The coroutine that makes a call."""

    async def make(self: RunsAsync, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(describe(*args, **kwargs))

    return _signed(make, describe, "Call")


def async_pages(describe: Callable[P, Call[Page[T]]]) -> Callable[Concatenate[RunsAsync, P], AsyncIterator[T]]:
    """The asynchronous iterator over a list, page after page as far as somebody reads."""

    async def make(self: RunsAsync, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        paging = Paging(describe(*args, **kwargs))
        while paging.call is not None:
            for item in paging.items(await self.run(paging.call)):
                yield item

    return _signed(make, describe, "Call[Page", "AsyncIterator[{}]")


def _signed(made: Method, describe: Callable[..., Any], wrapper: str, returns: str = "{}") -> Method:
    """Give a method the signature that `help` and editors show: that of the description, with `self` and what it returns.

    Args:
        wrapper: what the description's answer stands in.
    """
    described = inspect.signature(describe)
    inner = str(described.return_annotation).removeprefix(f"{wrapper}[")
    inner = inner[: len(inner) - wrapper.count("[") - 1]
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = described.replace(parameters=[self, *described.parameters.values()], return_annotation=returns.format(inner))
    update_wrapper(made, describe)
    if returns != "{}":
        made.__doc__ = f"Every item of the list, page after page as far as somebody reads. Of a page:\n\n{describe.__doc__}"
    made.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it, typing does not know of it
    return made
