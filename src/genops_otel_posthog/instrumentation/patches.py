"""Replacing functions of the SDK by our own around them, and putting the originals back.

Plain functions rather than proxy objects: a proxy costs a further object and a further call in each use, and the
methods replaced here are the ones that an application calls most (``python3 scripts/run.py bench``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any

#: Makes the function that stands in for the original it is given.
Around = Callable[[Callable[..., Any]], Callable[..., Any]]


class Patches:
    """The functions that are replaced at present."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Callable[..., Any], Callable[..., Any]]] = []

    def replace(self, module_name: str, name: str, around: Around) -> None:
        """Replaces ``module_name.name``, if this version of the SDK has it.

        Args:
            module_name: A module of the SDK, which may be missing.
            name: A function in it, or ``Class.method``.
            around: Makes the replacement.
        """
        try:
            owner: Any = import_module(module_name)
        except ImportError:  # an older SDK, or its optional dependency is not installed
            return
        *path, attribute = name.split(".")
        for part in path:
            owner = getattr(owner, part, None)
        original = vars(owner).get(attribute) if owner is not None else None
        if original is None:
            return
        replacement = functools.wraps(original)(around(original))
        setattr(owner, attribute, replacement)
        self._replaced.append((owner, attribute, original, replacement))

    def undo(self) -> None:
        """Puts the originals back.

        What somebody else has replaced since is left to them; the function of ours inside it is switched off.
        """
        while self._replaced:
            owner, attribute, original, replacement = self._replaced.pop()
            if vars(owner).get(attribute) is replacement:
                setattr(owner, attribute, original)


class Switch:
    """What replacements do at present. Methods taken before ``uninstrument()`` stay replaced, so the replacements ask.

    Attributes:
        on: Whether they observe what an application does outside of any call that is open.
        in_calls: Whether they observe what happens inside of calls that are open. Of two replacements of one function,
            one does.
    """

    __slots__ = ("in_calls", "on")

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self.in_calls = True
