"""Names of environment variables that are not ours, and which of ours was meant.

A misspelt name is the quietest of all mistakes: nothing fails, and nothing happens. Every ``GENOPS_…`` name that is
unknown is remarked on. Of the ``POSTHOG_…`` and ``RUDDERSTACK_…`` names others read many, so of those only what is
close to one of ours is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from genops_otel_posthog.settings.variables import ANNOUNCED, VARIABLES

PREFIX: Final = "GENOPS_"
KNOWN: Final = frozenset(variable.name for variable in VARIABLES) | ANNOUNCED.keys()

#: Words that our names begin with. Others read DEBUG, too, and most names that are close to it are theirs.
_FIRST_WORDS: Final = ("GENOPS", "POSTHOG", "RUDDERSTACK")
_OURS: Final = sorted(name for name in KNOWN if name.startswith(_FIRST_WORDS))
_SIMILAR_WORD: Final = 0.8
_SIMILAR_NAME: Final = 0.85

#: What PostHog's documentation for other languages and frameworks calls the same things.
_SYNONYMS: Final[Mapping[str, str]] = {
    "POSTHOG_KEY": "POSTHOG_API_KEY",
    "POSTHOG_TOKEN": "POSTHOG_API_KEY",
    "POSTHOG_PROJECT_KEY": "POSTHOG_API_KEY",
    "POSTHOG_PROJECT_API_KEY": "POSTHOG_API_KEY",
    "POSTHOG_PROJECT_TOKEN": "POSTHOG_API_KEY",
    "POSTHOG_API_HOST": "POSTHOG_HOST",
    "POSTHOG_URL": "POSTHOG_HOST",
    "POSTHOG_ENABLED": "POSTHOG_ENABLE",
    "POSTHOG_PERSONAL_KEY": "POSTHOG_PERSONAL_API_KEY",
    "RUDDERSTACK_KEY": "RUDDERSTACK_WRITE_KEY",
    "RUDDERSTACK_URL": "RUDDERSTACK_DATA_PLANE_URL",
}


class ForeignName(NamedTuple):
    """A variable that is set and that nothing of this package reads.

    Attributes:
        name: As it is set.
        meant: Which of ours it probably was meant to be; ``None`` where none is close.
    """

    name: str
    meant: str | None


def foreign_names(environ: Mapping[str, str]) -> Iterator[ForeignName]:
    """The names in an environment that are probably mistakes; those with a blank value count as not given.

    A name whose supposed meaning is set as well is none: somebody else reads it.
    """
    for name, value in environ.items():
        if not value.strip() or name in KNOWN:
            continue
        meant = meant_name(name)
        if name.startswith(PREFIX) or (meant is not None and not environ.get(meant, "").strip()):
            yield ForeignName(name, meant)


def meant_name(name: str) -> str | None:
    """Which variable of ours somebody who wrote ``name`` probably meant."""
    upper = name.upper()
    if upper in _OURS:
        return upper
    if upper in _SYNONYMS:
        return _SYNONYMS[upper]
    if upper.startswith(PREFIX):
        ours = {known.removeprefix(PREFIX): known for known in _OURS if known.startswith(PREFIX)}
        close = difflib.get_close_matches(upper.removeprefix(PREFIX), ours, n=1)
        return ours[close[0]] if close else None
    if not difflib.get_close_matches(upper.partition("_")[0], _FIRST_WORDS, n=1, cutoff=_SIMILAR_WORD):
        return None
    close = difflib.get_close_matches(upper, _OURS, n=1, cutoff=_SIMILAR_NAME)
    return close[0] if close else None
