"""Walks composed YAML nodes and collects what is wrong with them, each problem with its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]*(_[0-9]+)*")


class Fields:
    """The entries of one mapping.

    Attributes:
        what: What the mapping is, for the messages.
        blame: The node to name when an entry is missing; ``None`` when the mapping itself is missing or none, which has
            been reported.
        keys: The node of each key.
        values: The node of each value.
        misspelt: Keys that were probably meant by an unknown one; reported as that, and so not as missing.
    """

    def __init__(self, what: str, blame: yaml.Node | None) -> None:
        self.what = what
        self.blame = blame
        self.keys: dict[str, yaml.Node] = {}
        self.values: dict[str, yaml.Node] = {}
        self.misspelt: set[str] = set()


class NodeReader:
    """Reads the nodes of one file. Problems are collected, so that a user sees all of them at once.

    Every method returns ``None``, or what it has, where it has noted a problem.

    Args:
        path: The file, for the messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems: list[tuple[int, str]] = []

    def refuse(self, node: yaml.Node | None, reason: str) -> None:
        """Notes a problem at the line of a node; at the first line for a file without nodes."""
        self.problems.append((node.start_mark.line + 1 if node is not None else 1, reason))

    def report(self) -> str:
        """All problems in the order of the file, one per line: ``path:line: reason``."""
        return "\n".join(f"{self._path}:{line}: {reason}" for line, reason in sorted(self.problems))

    def fields(
        self,
        node: yaml.Node | None,
        what: str,
        known: Sequence[str] | None = None,
        blame: yaml.Node | None = None,
    ) -> Fields:
        """The entries of a mapping. Duplicate keys and, where ``known`` is given, unknown ones are problems."""
        if not isinstance(node, yaml.MappingNode):
            self.refuse(blame or node, f"{what} must be a mapping of keys to values")
            return Fields(what, None)
        fields = Fields(what, blame or node)
        for key_node, value in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse(key_node, f"a key of {what} must be a plain word")
            elif key in fields.keys:
                first = fields.keys[key].start_mark.line + 1
                self.refuse(key_node, f"`{key}` is given twice in {what}, first on line {first}")
            elif known is not None and key not in known:
                self.refuse(key_node, f"unknown key `{key}` in {what}; {choices(key, known)}")
                fields.misspelt.update(difflib.get_close_matches(key, known, n=1))
            else:
                fields.keys[key] = key_node
                fields.values[key] = value
        return fields

    def required(self, fields: Fields, key: str, hint: str = "") -> yaml.Node | None:
        """The value of a key; its absence is a problem."""
        node = fields.values.get(key)
        if node is None and fields.blame is not None and key not in fields.misspelt:
            self.refuse(fields.blame, f"`{key}` of {fields.what} is missing" + (f"; {hint}" if hint else ""))
        return node

    def required_text(self, fields: Fields, key: str) -> str | None:
        """The text of a key; its absence is a problem."""
        node = self.required(fields, key)
        return None if node is None else self.scalar(node, key)

    def text(self, fields: Fields, key: str) -> str | None:
        """The text of a key that may be absent."""
        node = fields.values.get(key)
        return None if node is None else self.scalar(node, key)

    def whole(self, fields: Fields, key: str) -> int | None:
        """The whole number, 0 or more, of a key that may be absent."""
        text = self.text(fields, key)
        if text is None:
            return None
        if not _WHOLE_NUMBER.fullmatch(text):
            self.refuse(fields.values[key], f"{key} {text!r} is not a whole number like 1_000_000")
            return None
        return int(text)

    def scalar(self, node: yaml.Node, what: str) -> str | None:
        """A text exactly as it is spelt in the file."""
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            self.refuse(node, f"{what} must be a text, and not an empty one")
            return None
        return str(node.value)

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node] | None:
        """The items of a list."""
        if not isinstance(node, yaml.SequenceNode):
            self.refuse(node, f"{what} must be a list")
            return None
        return list(node.value)


def choices(given: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: the one that was probably meant, or all there are."""
    close = difflib.get_close_matches(given, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
