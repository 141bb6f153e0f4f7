"""Imports: slow parts of libraries that nothing here uses, left out.

Takes   the name of a module.
Gives   a context in which importing that module fails, as if it were not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """Let libraries that take a module only if it is installed do without it.

    What is loaded already stays; afterwards anybody may import the module.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # how Python marks a module that must not be imported
    try:
        yield
    finally:
        del sys.modules[name]


URI_GRAMMAR = "rfc3987_syntax"
"""Compiles a grammar for 3 s when it is imported. jsonschema, and so Altair and jupytext, would check with it whether
strings of the JSON Schema format `iri` are such; no chart and no notebook has one."""
