"""Packages whose names are imported when they are first used, so that their commands start quickly."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package: `modules` by name, and the names that each gives, divided by blanks."""
    place = {name: module for module, names in modules.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in place:
            raise AttributeError(f"no {name!r} here; there are {', '.join(sorted(place))}")
        return getattr(import_module(place[name]), name)

    return find
