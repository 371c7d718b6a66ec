"""The code blocks of the GenOps guide, taken from its text.

The text is somebody else's and not part of this repository: ``GUIDE_UNDER_TEST`` says where a copy of it lies. Without
one, the tests of its blocks are skipped, and those of :mod:`tests.adapter` show the same promises in words of our own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        heading: The heading it stands under.
        place: Which block under that heading, from 0.
        language: As the text names it.
        line: Where it begins in the text.
        code: What it says, to the letter.
    """

    heading: str
    place: int
    language: str
    line: int
    code: str


def guide_text() -> str | None:
    """The guide, where there is a copy."""
    path = os.environ.get("GUIDE_UNDER_TEST")
    return None if not path else Path(path).read_text(encoding="utf-8")


def blocks_of(text: str) -> list[Block]:
    """All code blocks of a text in Markdown."""
    found: list[Block] = []
    for match in _BLOCK.finditer(text):
        headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", text[: match.start()]), re.MULTILINE)
        heading = re.sub(r"[^ -~]", "", headings[-1]).strip() if headings else ""
        place = sum(block.heading == heading for block in found)
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(heading, place, match["language"], line, match["code"]))
    return found
