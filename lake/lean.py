"""Lean: what a process leaves out that only serves.

Takes   the name of a module.
Gives   a process in which it is not installed.
Refuses nothing; what is loaded already stays.

pyarrow imports pandas, if it is there, before it makes its first array: half a second and 45 MiB for each process, also
for those that never make a frame of it.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


class _NotInstalled(MetaPathFinder):
    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname == self._name:
            raise ModuleNotFoundError(f"{fullname} is left out of this process", name=fullname)
        return None


def leave_out(name: str) -> None:
    """Let the module be not installed, for this process and those that it forks."""
    sys.meta_path.insert(0, _NotInstalled(name))
