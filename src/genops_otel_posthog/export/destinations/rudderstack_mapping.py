"""A PostHog event as a RudderStack message.

RudderStack sends messages on to PostHog and to two hundred other services by a mapping of its own; this is that mapping
the other way round, so that an event that takes the detour arrives as what it was.

Sources: rudderlabs/rudder-transformer, ``src/v0/destinations/posthog`` (``config.ts``, ``data/*.json``, and pull
request 3507 for the two ids of an alias); https://www.rudderstack.com/docs/event-spec/standard-events/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from genops_otel_posthog import semconv
from genops_otel_posthog.export.rules.plain import Plain
from genops_otel_posthog.version import __version__

LIBRARY: Final = {"name": "genops-otel-posthog", "version": __version__}

CONTEXT: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("traceId",): (semconv.PROPERTY_TRACE_ID, semconv.PROPERTY_DOLLAR_TRACE_ID, "$ai_trace_id"),
    ("spanId",): (semconv.PROPERTY_DOLLAR_SPAN_ID, "span_id", "$ai_span_id"),
    ("traits", "workspaceId"): (semconv.PROPERTY_WORKSPACE_ID,),
    ("traits", "organizationId"): (semconv.PROPERTY_ORGANIZATION_ID,),
    ("ip",): ("$ip",),
    ("userAgent",): ("$useragent", "$raw_user_agent"),
    ("locale",): ("$locale",),
    ("timezone",): ("$timezone",),
    ("os", "name"): ("$os",),
    ("os", "version"): ("$os_version",),
    ("device", "id"): ("$device_id",),
    ("device", "manufacturer"): ("$device_manufacturer",),
    ("device", "model"): ("$device_model",),
    ("device", "name"): ("$device_name",),
    ("device", "type"): ("$device_type",),
    ("network", "carrier"): ("$network_carrier",),
    ("app", "name"): ("$app_name",),
    ("app", "version"): ("$app_version",),
    ("app", "build"): ("$app_build",),
    ("app", "namespace"): ("$app_namespace",),
    ("screen", "height"): ("$screen_height",),
    ("screen", "width"): ("$screen_width",),
    ("screen", "density"): ("$screen_density",),
    ("page", "url"): ("$current_url",),
    ("page", "path"): ("$pathname",),
    ("page", "title"): ("title", "$title"),
    ("page", "referrer"): ("$referrer",),
    ("page", "referring_domain"): ("$referring_domain",),
    ("campaign", "source"): ("utm_source",),
    ("campaign", "medium"): ("utm_medium",),
    ("campaign", "name"): ("utm_campaign",),
    ("campaign", "content"): ("utm_content",),
    ("campaign", "term"): ("utm_term",),
}
"""Where in the context of a message what stands that PostHog has as a property; the first one that is given."""

_PLACES: Final = tuple(CONTEXT.items())
_PLACE_OF: Final = {source: place for place, (_, sources) in enumerate(_PLACES) for source in sources}

_ALSO_PLAIN: Final = {
    semconv.PROPERTY_DOLLAR_TRACE_ID: semconv.PROPERTY_TRACE_ID,
    semconv.PROPERTY_DOLLAR_SPAN_ID: "span_id",
}
_ONCE_IN_AN_EXECUTION: Final = frozenset({"agent_execution", "agent_error", "flow_executed"})
_GROUPS_IN_ORDER: Final = ("workspace", "organization", "company")
_TRUNCATED: Final = "genops_truncated"
_ROOM_FOR_NAMES: Final = 512
_SMALL: Final = 128  # bytes, with the name
_TRIES: Final = 4


def to_message(event: Mapping[str, Any]) -> dict[str, Any]:
    """The message of an event, but for what depends on the moment of sending.

    Args:
        event: As PostHog's batch API takes it: ``event``, ``distinct_id``, ``uuid``, ``timestamp``, ``properties``.

    Returns:
        A message of type ``identify``, ``group``, ``alias``, ``page``, ``screen`` or ``track``. It always has an
        ``anonymousId``: the gateway refuses a whole batch for one message that names nobody. It has a ``userId``
        unless PostHog processes no person for the event.
    """
    properties = event.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    message_id = message_id_of(event)
    distinct_id = _said(event.get("distinct_id")) or _said(properties.get("distinct_id"))
    message: dict[str, Any] = {"type": "track", "messageId": message_id}
    if distinct_id and properties.get("$process_person_profile") is not False:
        message["userId"] = distinct_id
    message["anonymousId"] = _said(properties.get("$device_id")) or distinct_id or message_id
    if event.get("timestamp"):
        # The first is the time that counts; RudderStack computes it from the second where the first is missing.
        message["timestamp"] = message["originalTimestamp"] = event["timestamp"]
    message["channel"] = "server"
    message["context"] = _context(properties)
    _CALLS.get(_said(event.get("event")), _track)(message, event, properties)
    return message


def message_id_of(event: Mapping[str, Any]) -> str:
    """The id by which warehouses know an event that comes twice: its uuid.

    An event without one gets one that depends on its content; where it happens once in an execution, on the execution
    and its name alone, so that it is one although two systems report it.
    """
    given = _said(event.get("uuid"))
    if given:
        return given
    properties = event.get("properties")
    execution = _said(properties.get("execution_id")) if isinstance(properties, dict) else ""
    name = event.get("event")
    is_known = execution and name in _ONCE_IN_AN_EXECUTION
    return str(
        uuid5(NAMESPACE_OID, f"{execution}:{name}" if is_known else json.dumps(event, sort_keys=True, default=str))
    )


def serialised(message: dict[str, Any], most: int | None) -> bytes:
    """The message as JSON, shortened where it would be too long: the largest values first, ids never.

    Args:
        message: What :func:`to_message` made. It is changed.
        most: Most bytes; ``None`` for any number.
    """
    content = _json(message)
    if most is None or len(content) <= most:
        return content
    for holder, name in ((message, "properties"), (message, "traits"), (message["context"], "traits")):
        values = holder.get(name)
        if not values:
            continue
        room = most - (len(content) - len(_json(values))) - _ROOM_FOR_NAMES
        for _ in range(_TRIES):
            holder[name] = _shortened(values, max(room, _ROOM_FOR_NAMES))
            content = _json(message)
            if len(content) <= most:
                return content
            room -= len(content) - most
    return content


def _shortened(values: Mapping[str, Any], room: int) -> dict[str, Any]:
    """The values in so many bytes. What is small is kept, and with it all ids; what is large shares what is left."""
    kept: dict[str, Any] = {}
    cut: list[str] = []
    sizes = sorted((len(_json(value)) + len(_json(name)) + 2, name) for name, value in values.items())
    for number, (size, name) in enumerate(sizes):
        share = room // (len(sizes) - number)
        if size > max(share, _SMALL) or size > room:
            cut.append(name)
            budget = share - len(_json(name)) - 2
            if budget < _SMALL:
                continue
            kept[name] = Plain(budget).value(values[name])
            size = len(_json(kept[name])) + len(_json(name)) + 2
        else:
            kept[name] = values[name]
        room -= size
    result = {name: kept[name] for name in values if name in kept}
    before = values.get(_TRUNCATED)
    result[_TRUNCATED] = sorted({*(before if isinstance(before, list) else ()), *cut[:20]} - {_TRUNCATED})
    return result


def _context(properties: Mapping[str, Any]) -> dict[str, Any]:
    context: dict[str, Any] = {"library": dict(LIBRARY)}
    # An event has few of them.
    for place in sorted({_PLACE_OF[name] for name in properties.keys() & _PLACE_OF.keys()}):
        path, sources = _PLACES[place]
        for source in sources:
            value = properties.get(source)
            if value is not None and value != "":
                part = context
                for name in path[:-1]:
                    part = part.setdefault(name, {})
                part[path[-1]] = value
                break
    group = _group_of(properties)
    if group:
        context["groupId"] = group
    return context


def _group_of(properties: Mapping[str, Any]) -> str:
    """The one group that a message can name: the workspace, as far as there is one."""
    groups = properties.get("$groups")
    if not isinstance(groups, dict) or not groups:
        return _said(properties.get(semconv.PROPERTY_WORKSPACE_ID))
    kind = next((kind for kind in _GROUPS_IN_ORDER if kind in groups), next(iter(groups)))
    return _said(groups[kind])


# --- one function for each kind of message ----------------------------------------------------------------------------


def _track(message: dict[str, Any], event: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    message["event"] = _said(event.get("event"))
    message["properties"] = _properties(properties)
    _add_traits(message, _object(properties.get("$set")))


def _identify(message: dict[str, Any], event: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    message["type"] = "identify"
    anonymous = _said(properties.get("$anon_distinct_id"))
    if anonymous:
        message["anonymousId"] = anonymous
    traits = {**_object(event.get("$set")), **_object(properties.get("$set"))}
    once = {**_object(event.get("$set_once")), **_object(properties.get("$set_once"))}
    message["traits"] = traits
    _add_traits(message, {**once, **traits})
    if once:
        # RudderStack has no traits that stay as they were first set; whoever cares can tell them by this.
        message["properties"] = {"set_once": sorted(once)}


def _group(message: dict[str, Any], _event: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    message["type"] = "group"
    message["groupId"] = message["context"]["groupId"] = _said(properties.get("$group_key"))
    message["traits"] = {**_object(properties.get("$group_set")), "groupType": _said(properties.get("$group_type"))}


def _alias(message: dict[str, Any], _event: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    message["type"] = "alias"
    message["userId"] = _said(properties.get("distinct_id")) or message.get("userId") or message["anonymousId"]
    message["previousId"] = _said(properties.get("alias"))


def _page(message: dict[str, Any], _event: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    message["type"] = "page"
    page = message["context"].get("page", {})
    message["name"] = _said(page.get("title") or page.get("path"))
    message["properties"] = {**_properties(properties), **page}
    _add_traits(message, _object(properties.get("$set")))


def _screen(message: dict[str, Any], _event: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    message["type"] = "screen"
    message["name"] = message["event"] = _said(properties.get("$screen_name"))
    message["properties"] = _properties(properties)
    _add_traits(message, _object(properties.get("$set")))


_Call = Callable[[dict[str, Any], Mapping[str, Any], Mapping[str, Any]], None]

_CALLS: Final[Mapping[str, _Call]] = {
    "$identify": _identify,
    "$set": _identify,
    "$groupidentify": _group,
    "$create_alias": _alias,
    "$pageview": _page,
    "$screen": _screen,
}
"""PostHog's events that are calls of their own; every other one is ``track``."""


def _properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The event's own, but for what stands in the traits; ids also by names without a dollar sign."""
    result = {name: value for name, value in properties.items() if name != "$set"}
    for name, plain in _ALSO_PLAIN.items():
        if name in result:
            result.setdefault(plain, result[name])
    return result


def _add_traits(message: dict[str, Any], traits: Mapping[str, Any]) -> None:
    if traits:
        context = message["context"]
        context["traits"] = {**context.get("traits", {}), **traits}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _said(value: object) -> str:
    """An id as text; empty for what is none."""
    return "" if value is None or isinstance(value, (bool, dict, list)) else str(value).strip()


def _json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can say
        return json.dumps(value, separators=(",", ":")).encode()
