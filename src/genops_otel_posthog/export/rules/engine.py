"""From a span to its events, or to the reasons why there are none. Never raises, whatever the span."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.export.correlation import Correlation
from genops_otel_posthog.export.privacy import Privacy
from genops_otel_posthog.export.rules.conversion import NO_RULE, Conversion, LeftOut, Reason
from genops_otel_posthog.export.rules.maker import Maker, said
from genops_otel_posthog.export.rules.matching import Candidate, Index
from genops_otel_posthog.export.rules.plain import MAX_EVENT_BYTES
from genops_otel_posthog.export.rules.rule import MAX_NAME_LENGTH, SpanRule
from genops_otel_posthog.export.rules.view import InvalidSpan, SpanView
from genops_otel_posthog.export.shapes import Names, Shapes
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from genops_otel_posthog.processor import PostHogContext

OWN_SCOPE: Final = "genops_otel_posthog"
"""The scope of the spans around PostHog calls. They never become events unless a rule names it."""

#: Where deliveries go; spans of requests to them never become events unless a rule asks for one of
#: :data:`ADDRESS_ATTRIBUTES`.
DELIVERY_HOSTS: Final = ("posthog.com", "rudderstack.com", "rudderlabs.com")
ADDRESS_ATTRIBUTES: Final = ("server.address", "net.peer.name", "http.host", "url.full", "http.url")

_ADDRESSES: Final = Names(*ADDRESS_ATTRIBUTES)
_MOST_KNOWN: Final = 2_048  # names of events, addresses
_LONGEST_KEPT: Final = 256  # characters of an address

Gate = Callable[[str, "SpanView", Attribution], bool]
Estimate = Callable[[str, Mapping[str, Any]], "float | None"]


class Rules:
    """Turns spans into events. Safe to use from any thread and after a fork.

    Args:
        rules: In their order; of several with one id the first counts.
        privacy: What may leave.
        owner: The owner where neither span nor resource names one.
        trace_url: Template of the link to a trace, with ``{trace_id}`` and ``{span_id}``.
        delivery_hosts: Hosts that deliveries go to, besides the usual ones; subdomains included.
        gate: Answers whether a feature flag is on, for rules that have one; every flag is on when not given.
        estimate: Answers what PostHog will charge for an event in US dollars, for ``genops_cost_estimated``.
        max_event_bytes: Most bytes of an event's properties.

    Attributes:
        rules: Those that are asked.
        privacy: What may leave.
        correlation: Reads owner, person and ids off spans.
        gate: As given.
        estimate: As given.
        max_event_bytes: As given.
    """

    def __init__(
        self,
        rules: Iterable[SpanRule],
        *,
        privacy: Privacy | None = None,
        owner: Attribution = NOBODY,
        trace_url: str | None = None,
        delivery_hosts: Iterable[str] = (),
        gate: Gate | None = None,
        estimate: Estimate | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        first: dict[str, SpanRule] = {}
        for rule in rules:
            first.setdefault(rule.id, rule)
        self.rules: tuple[SpanRule, ...] = tuple(rule for rule in first.values() if rule.enabled)
        self.privacy = privacy or Privacy()
        self._index = Index(self.rules)
        self._shapes = Shapes()
        self.correlation = Correlation(owner, trace_url)
        self._hosts = tuple(dict.fromkeys((*DELIVERY_HOSTS, *(host.lower() for host in delivery_hosts))))
        self._is_delivery: dict[str, bool] = {}
        self._event_names: dict[str, tuple[str, bool]] = {}
        self.gate = gate
        self.estimate = estimate
        self.max_event_bytes = max_event_bytes

    def events_for(self, span: ReadableSpan, remembered: PostHogContext | None = None) -> Conversion:
        """The events of a finished span.

        Args:
            span: As span processors and exporters get it.
            remembered: What PostHog's context said when the span started, for spans that name nobody.

        Returns:
            Events and reasons. Whatever the span is, nothing is raised.
        """
        try:
            view = SpanView(span, self._shapes)
            found = self._index.candidates(view)
            if not found:
                return NO_RULE
            return self._convert(view, found, remembered)
        except InvalidSpan as error:
            return Conversion((), (LeftOut(None, Reason.INVALID, str(error)),))
        except Exception as error:  # what is not a span at all must not end the application's own work
            return Conversion((), (LeftOut(None, Reason.INVALID, f"the span cannot be read: {said(error)}"),))

    def _convert(self, span: SpanView, found: list[Candidate], remembered: PostHogContext | None) -> Conversion:
        met = [candidate for candidate in found if candidate.is_met or candidate.meets(span)]
        withheld = self._withheld(span) if met else None
        if withheld is not None:
            met = [candidate for candidate in met if _names(candidate, withheld)]
        if not met:
            if withheld is not None:
                return Conversion((), (LeftOut(None, Reason.FILTERED, withheld),))
            return NO_RULE
        span.require_ids_and_times()
        maker = Maker(self, span, remembered)
        for candidate in met:
            rule = candidate.rule
            if span.step is not None and candidate.is_not_about(span.step) and (rule.gate is None or self.gate is None):
                continue
            if rule.drop:
                maker.leave_out(rule, Reason.FILTERED, "the rule drops it")
                break
            maker.apply(rule, candidate.templates)
            if rule.final:
                break
        return maker.conversion()

    def event_name(self, given: str) -> tuple[str, bool]:
        """A name as an event has it, and whether the lists of events let it pass. Answers are kept."""
        known = self._event_names.get(given) if type(given) is str else None
        if known is None:
            name = text(given)[:MAX_NAME_LENGTH]
            known = name, bool(name) and self.privacy.admits(name)
            if len(self._event_names) >= _MOST_KNOWN:
                self._event_names = {}
            if type(given) is str:
                self._event_names[given] = known
        return known

    def _withheld(self, span: SpanView) -> str | None:
        """Why the span takes part only by a rule that names it, ``None`` for the application's own spans."""
        if span.scope == OWN_SCOPE:
            return _OWN
        for name in span.shape.among(_ADDRESSES):
            value = span.attributes[name]
            if value and isinstance(value, str):
                return _DELIVERY if self._delivers_to(value) and span.kind == "client" else None
        return None

    def _delivers_to(self, address: str) -> bool:
        known = self._is_delivery.get(address)
        if known is None:
            host = _host_of(address)
            known = any(host == own or host.endswith("." + own) for own in self._hosts)
            if len(self._is_delivery) >= _MOST_KNOWN:
                self._is_delivery = {}
            if len(address) <= _LONGEST_KEPT:
                self._is_delivery[address] = known
        return known


_OWN: Final = "it is about a PostHog call; a rule has to name its scope"
_DELIVERY: Final = "it is a request to where events are delivered; a rule has to ask for its address"


def _names(candidate: Candidate, withheld: str) -> bool:
    if withheld is _OWN:
        return candidate.names_own_spans
    return not set(ADDRESS_ATTRIBUTES).isdisjoint(candidate.rule.attributes)


def _host_of(value: str) -> str:
    if "//" not in value:
        return value.rpartition(":")[0].lower() or value.lower() if value.count(":") == 1 else value.lower()
    try:
        return (urlsplit(value).hostname or "").lower()
    except ValueError:
        return ""
