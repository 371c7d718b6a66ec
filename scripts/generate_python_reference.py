"""Writes ``docs/reference/python.md`` from the public names of the package and their docstrings.

python scripts/generate_python_reference.py            writes the page
python scripts/generate_python_reference.py --check    ends with 1 when the page is not up to date
"""

from __future__ import annotations

import functools
import inspect
import sys
from enum import Enum
from pathlib import Path

import genops_otel_posthog

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "python.md"

_HEAD = """# Python API

Everything below is importable from `genops_otel_posthog` and loaded when it is first used. Written by
`scripts/generate_python_reference.py` from the docstrings; edit those.
"""


def render() -> str:
    """The page as it should be."""
    names = [name for name in genops_otel_posthog.__all__ if not name.startswith("__")]
    return "\n".join([_HEAD, *(_section(name, getattr(genops_otel_posthog, name)) for name in names)])


def _section(name: str, value: object) -> str:
    kind = "class" if inspect.isclass(value) else "function"
    lines = [f"## `{name}`", "", f"*{kind}*, defined in `{getattr(value, '__module__', '')}`", ""]
    if not (inspect.isclass(value) and issubclass(value, Exception)):
        lines += ["```text", f"{name}{_signature(value)}", "```", ""]
    lines += [_text(value), ""]
    if inspect.isclass(value) and not issubclass(value, Exception):
        for member_name, member in _members(value).items():
            if member_name.startswith("_") or not _is_defined_here(member) or inspect.getdoc(member) is None:
                continue
            function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            heading = f"{member_name}{_signature(function)}" if inspect.isfunction(function) else member_name
            lines += [f"### `{heading}`", "", _text(function), ""]
    return "\n".join(lines)


def _members(value: type) -> dict[str, object]:
    """What a class has of its own and of those that it is made of in this package, its own first."""
    ours = [kind for kind in value.__mro__ if kind.__module__.startswith(genops_otel_posthog.__name__)]
    members: dict[str, object] = {}
    for kind in ours:
        members = {**members, **{name: member for name, member in vars(kind).items() if name not in members}}
    return members


def _is_defined_here(member: object) -> bool:
    """False for plain values: their documentation is that of their type, in the words of one version of Python."""
    kinds = (classmethod, staticmethod, property, functools.cached_property)
    return isinstance(member, kinds) or inspect.isfunction(member)


def _signature(value: object) -> str:
    if isinstance(value, type) and issubclass(value, Enum):
        # How an enumeration is called differs from one Python to the next; what matters is what there is.
        return ": " + ", ".join(member.name for member in value)
    signature = inspect.signature(value) if callable(value) else None
    if signature is None:
        return ""
    parameters = [
        parameter.replace(annotation=_Written(parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=parameters, return_annotation=_Written(signature.return_annotation)))


class _Written:
    """An annotation as it is written in the source, without the quotes of a string."""

    def __init__(self, annotation: object) -> None:
        self._annotation = annotation

    def __repr__(self) -> str:
        return str(self._annotation)


def _text(value: object) -> str:
    """The docstring, indented blocks of the Google style as literal text."""
    document = inspect.getdoc(value) or ""
    summary, _, rest = document.partition("\n\n")
    return f"{summary}\n\n```text\n{rest}\n```" if rest else summary


def main() -> None:
    """Writes or checks the page."""
    page = render()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
            sys.exit(f"{PAGE.name} is not up to date: run python {Path(__file__).name}")
        return
    PAGE.write_text(page, encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
