"""Any value as a text that PostHog can hold."""

from __future__ import annotations

MAX_VALUE_BYTES = 256_000
"""Most bytes of one text."""


def text(value: object) -> str:
    """A value's text as PostHog can hold it: halves of surrogate pairs and NUL become U+FFFD."""
    result = str.__str__(value) if isinstance(value, str) else spoken(value)
    if result.isascii():
        return result.replace("\x00", "\ufffd") if "\x00" in result else result
    try:
        result.encode()
    except UnicodeEncodeError:
        result = result.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return result.replace("\x00", "\ufffd")


def spoken(value: object) -> str:
    """What ``str`` makes of a value, or words about why it makes nothing."""
    try:
        return str.__str__(str(value)[:MAX_VALUE_BYTES])
    except Exception as error:  # a __str__ that fails must not take the event with it
        return f"<{type(value).__name__} without text: {type(error).__name__}>"
