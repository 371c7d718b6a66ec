"""Errors as ``$exception``: https://posthog.com/docs/error-tracking.

A span that ended in an error and recorded the exception makes one event of it. An exception that passes through
several spans is recorded on each of them; it is told once, by the innermost, which ends first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.export.rules.recent import Recent
from genops_otel_posthog.export.rules.rule import EventDraft, Skip
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

MAX_FRAMES: Final = 50
"""Most frames of one stack: the innermost, and the outermost for the rest."""

_MAX_STACK_LENGTH: Final = 200_000
_MAX_CHAIN: Final = 10
_FRAME: Final = re.compile(r'^ *(?:\+ +)?(?:\| +)?File "(?P<file>.+?)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_CAUSED: Final = re.compile(
    r"\n+(?:The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:)\n+"
)
_PLACE: Final = re.compile(r"^.*?(?:site-packages|dist-packages)[/\\]")
_LIBRARY: Final = re.compile(r"(?:[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python3[^/\\]*[/\\]|^<frozen )")
_VARIABLE: Final = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\d+|'[^']*'|\"[^\"]*\"")


class ExceptionEvents:
    """Makes these events; remembers which were made."""

    def __init__(self) -> None:
        self._told: Recent[tuple[int, str, str], int] = Recent()

    def events(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """One event per exception that ended the span."""
        if not span.is_error:
            return Skip("the exception was handled: the span did not end in an error")
        drafts = []
        repeated = False
        for number, event in enumerate(event for event in span.events if event.name == "exception"):
            found = event.attributes or {}
            kind = _given(found, "exception.type", "Exception")
            message = _given(found, "exception.message", "")
            # With the SDK a message of the status ends in the exception's own; other spans of the trace repeat it.
            key = (span.trace_number, kind, message)
            teller = self._told.get(key)
            if teller is not None and teller != span.span_number:
                repeated = True
                continue
            self._told.put(key, span.span_number)
            drafts.append(_draft(span, found, kind, message, event.timestamp, str(number) if number else ""))
        if not drafts:
            return Skip("a span inside it told the same exception" if repeated else "no exception was recorded on it")
        return drafts


def _draft(span: SpanView, found: Mapping[str, Any], kind: str, message: str, time: int | None, key: str) -> EventDraft:
    stack = found.get("exception.stacktrace")
    parts = _parts(stack) if isinstance(stack, str) else [""]
    frames = frames_of(parts[0])
    chain = [_exception(kind, message, frames, handled=not _escaped(span, found, kind), number=0)]
    for part in parts[1:]:
        cause = _cause(part)
        if cause is not None:
            chain.append(_exception(*cause, frames_of(part), handled=True, number=len(chain)))
    properties: dict[str, Any] = {
        "$exception_list": chain,
        "$exception_fingerprint": fingerprint(kind, message, frames),
        "$exception_level": "error",
        "$exception_source": "opentelemetry",
        "span_name": span.name,
    }
    return EventDraft("$exception", properties, time=time or span.end, key=key)


def _given(found: Mapping[str, Any], name: str, otherwise: str) -> str:
    value = found.get(name)
    return otherwise if value is None or value == "" else text(value)


def _exception(kind: str, message: str, frames: list[dict[str, Any]], *, handled: bool, number: int) -> dict[str, Any]:
    module, _, name = kind.rpartition(".")
    mechanism: dict[str, Any] = {
        "type": "opentelemetry",
        "handled": handled,
        "synthetic": False,
        "exception_id": number,
    }
    if number:
        mechanism["parent_id"] = number - 1
    told: dict[str, Any] = {"type": name or kind, "value": message, "mechanism": mechanism}
    if module:
        told["module"] = module
    if frames:
        told["stacktrace"] = {"type": "raw", "frames": frames}
    return told


def _escaped(span: SpanView, found: Mapping[str, Any], kind: str) -> bool:
    """Whether the exception left the span: said so, or the SDK set the status from it as it passed."""
    if _given(found, "exception.escaped", "").lower() == "true":
        return True
    name = kind.rpartition(".")[2]
    return span.status_message.startswith((f"{name}:", f"{kind}:"))


def fingerprint(kind: str, message: str, frames: Iterable[Mapping[str, Any]]) -> str:
    """What errors of one cause have in common: the type and where it was raised, not the lines and not the message.

    Where the stack is not known, the message stands in for it, without the numbers and names in it.
    """
    places = [f"{frame.get('filename')}:{frame.get('function')}" for frame in frames if frame.get("in_app")]
    said = "|".join(places[-5:]) if places else _VARIABLE.sub("?", message[:500])
    return blake2b(f"{kind}|{said}".encode("utf-8", "replace"), digest_size=16).hexdigest()


def _parts(stack: str) -> list[str]:
    """The tracebacks in a stack trace: of the exception itself, of its cause, of that one's cause, and so on."""
    return _CAUSED.split(stack[-_MAX_STACK_LENGTH:])[: -_MAX_CHAIN - 1 : -1]


def frames_of(part: str) -> list[dict[str, Any]]:
    """The frames of a Python traceback, the outermost first."""
    frames: list[dict[str, Any]] = []
    for line in part.splitlines():
        match = _FRAME.match(line)
        if match is not None:
            path = match["file"]
            frames.append(
                {
                    "platform": "python",
                    "filename": _PLACE.sub("", path),
                    "abs_path": path,
                    "function": match["function"] or "<module>",
                    "lineno": int(match["line"]),
                    "in_app": _LIBRARY.search(path) is None,
                }
            )
        elif frames and line.startswith("    ") and line.strip(" ^~") and "context_line" not in frames[-1]:
            frames[-1]["context_line"] = line.strip()[:500]
    if len(frames) > MAX_FRAMES:
        frames = [*frames[:10], *frames[10 - MAX_FRAMES :]]
    return frames


def _cause(part: str) -> tuple[str, str] | None:
    """Type and message of the exception that a traceback ends with."""
    last = next((line for line in reversed(part.splitlines()) if line.strip() and not line.startswith(" ")), "")
    kind, _, message = last.partition(":")
    return (kind, message.strip()) if kind and " " not in kind else None
