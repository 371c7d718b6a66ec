"""What is known of one environment variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes:
        name: The variable's name.
        field: The attribute of :class:`Settings` that it sets.
        meaning: What it does, for the reference table.
        default: The default as shown in the reference table.
        example: A value that is accepted, shown in the error about one that is not.
        parse: Turns the text into the attribute's value; raises ``ValueError`` with the reason.
        secret: Whether the text must not be repeated in messages.
    """

    name: str
    field: str
    meaning: str
    default: str
    example: str
    parse: Callable[[str], Any]
    secret: bool = False
