"""``governance(...)``: the block, or the function, whose PostHog calls have an owner."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Token
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import baggage as w3c_baggage
from opentelemetry.context import Context, attach, create_key, detach, get_current, set_value
from typing_extensions import Self

from genops_otel_posthog.attribution.entered import enter, leave
from genops_otel_posthog.attribution.owner import FIELDS, NOBODY, Attribution, FieldValue
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.settings import BAGGAGE_FIELDS, Settings

_F = TypeVar("_F", bound=Callable[..., Any])

_CONTEXT_KEY = create_key("genops-attribution")


def attribution_in(context: Context | None = None) -> Attribution:
    """The attribution that :class:`governance` blocks gave, :data:`NOBODY` outside of any.

    Args:
        context: The OpenTelemetry context to look in; the current one when not given.
    """
    found = (get_current() if context is None else context).get(_CONTEXT_KEY, NOBODY)
    return found  # type: ignore[return-value]  # nobody else can write under this key, and `cast` costs a call


def context_owned_by(
    owner: Attribution, outer: Context, fields: Collection[str] | None = None, *, merged: Attribution | None = None
) -> Context:
    """The context of a block of an owner inside another context.

    Args:
        owner: Whose calls those of the block are.
        outer: The context around it.
        fields: What is also written to W3C baggage; ``None`` follows ``GENOPS_BAGGAGE_OUT``.
        merged: The owner over that of the surroundings, where it is known already.
    """
    if merged is None:
        merged = owner.over(attribution_in(outer))
    context = set_value(_CONTEXT_KEY, merged, outer)
    if fields is None:
        fields = _baggage_out()
    if fields:
        for name, value in owner.select(fields).items():
            context = w3c_baggage.set_baggage(name, value, context)
    return context


class governance(AbstractContextManager["governance"], AbstractAsyncContextManager["governance"]):
    """Names the owner of every PostHog call inside a block or a function.

    Usable as ``with``, ``async with`` and as a decorator of functions, coroutine functions, generators and asynchronous
    generators. Blocks nest: the inner one wins field by field, and tags add up. One instance may serve any number of
    blocks, threads and tasks at the same time.

    Inside a generator, prefer the decorator: it applies to the generator's own steps only, whereas a ``with`` block
    around a ``yield`` is also seen by the code that consumes the generator. That is what a ``@contextmanager`` wants,
    so there the block belongs inside.

    Args:
        team: See :class:`Attribution`, also for the other fields.
        baggage: Also write this block's attribution to W3C baggage, which OpenTelemetry's propagators send with
            outgoing requests: the named fields (``tags`` among them), ``True`` for the usual ones (team, project,
            customer, cost centre, feature), ``False`` for none. ``None`` follows ``GENOPS_BAGGAGE_OUT``.

    Raises:
        GenOpsValidationError: ``baggage`` names a field that does not exist.

    Example:
        >>> with governance(team="checkout", customer_id="acme"):
        ...     attribution_in().team
        'checkout'
    """

    def __init__(
        self,
        *,
        team: FieldValue = None,
        project: FieldValue = None,
        environment: FieldValue = None,
        customer_id: FieldValue = None,
        cost_center: FieldValue = None,
        feature: FieldValue = None,
        user_id: FieldValue = None,
        workspace_id: FieldValue = None,
        organization_id: FieldValue = None,
        session_id: FieldValue = None,
        tags: Mapping[str, object] | None = None,
        baggage: bool | Collection[str] | None = None,
    ) -> None:
        self._attribution = Attribution(
            team=team,
            project=project,
            environment=environment,
            customer_id=customer_id,
            cost_center=cost_center,
            feature=feature,
            user_id=user_id,
            workspace_id=workspace_id,
            organization_id=organization_id,
            session_id=session_id,
            tags=tags,
        )
        self._baggage = None if baggage is None else _baggage_fields(baggage)
        self._merged = (NOBODY, self._attribution)

    def _context_over(self, outer: Context) -> Context:
        """The context of the block inside ``outer``."""
        surrounding = attribution_in(outer)
        # A block that is entered over and over usually stands in the same surroundings.
        base, merged = self._merged
        if base is not surrounding:
            merged = self._attribution.over(surrounding)
            self._merged = (surrounding, merged)
        return context_owned_by(self._attribution, outer, self._baggage, merged=merged)

    def __enter__(self) -> Self:
        outer = get_current()
        enter(self, outer, self._context_over(outer))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave(self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Makes every run of ``function`` a block of this attribution.

        Raises:
            TypeError: It is not a function but a class, a ``staticmethod``, a ``classmethod`` or a ``property``.
        """
        if isinstance(function, (type, staticmethod, classmethod, property)) or not callable(function):
            raise TypeError(
                f"@governance(...) decorates functions and methods, not {function!r}; "
                "written below @staticmethod, @classmethod or @property it finds the function"
            )
        if inspect.isasyncgenfunction(function):
            governed: Callable[..., Any] = self._govern_async_generator(function)
        elif inspect.iscoroutinefunction(function):
            governed = self._govern_coroutine(function)
        elif inspect.isgeneratorfunction(function):
            governed = self._govern_generator(function)
        else:
            governed = self._govern_function(function)
        return functools.wraps(function)(governed)  # type: ignore[return-value]  # wraps keeps the signature

    def _govern_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def governed(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return governed

    def _govern_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def governed(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return governed

    def _govern_generator(self, function: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
        def governed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **kwargs)
            steps = _Steps(self)
            step: Callable[[Any], Any] = generator.send
            value: Any = None
            while True:
                token = steps.begin()
                try:
                    item = step(value)
                except StopIteration as stop:
                    return stop.value
                finally:
                    value = None  # what the consumer threw must not live on in this frame, which its traceback holds
                    steps.end(token)
                try:
                    value = yield item
                    step = generator.send
                except BaseException as error:  # what the consumer throws, GeneratorExit included, is the generator's
                    value = error
                    step = generator.throw

        return governed

    def _govern_async_generator(self, function: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., Any]:
        async def governed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            generator = function(*args, **kwargs)
            steps = _Steps(self)
            step: Callable[[Any], Any] = generator.asend
            value: Any = None
            while True:
                token = steps.begin()
                try:
                    item = await step(value)
                except StopAsyncIteration:
                    return
                finally:
                    value = None  # as above
                    steps.end(token)
                try:
                    value = yield item
                    step = generator.asend
                except BaseException as error:  # as above
                    value = error
                    step = generator.athrow

        return governed


class _Steps:
    """The context in which the steps of one generator run.

    A generator that opens a span around a ``yield`` has that span in its next step again; its consumer never sees it.
    """

    __slots__ = ("_block", "_given", "_kept")

    def __init__(self, block: governance) -> None:
        self._block = block
        self._given: Context | None = None
        self._kept: Context | None = None

    def begin(self) -> Token[Context]:
        if self._kept is not None:
            return attach(self._kept)
        self._given = self._block._context_over(get_current())
        return attach(self._given)

    def end(self, token: Token[Context]) -> None:
        left = get_current()
        self._kept = None if left is self._given else left
        detach(token)


def _baggage_fields(given: bool | Collection[str]) -> frozenset[str]:
    if isinstance(given, bool):
        return frozenset(BAGGAGE_FIELDS) if given else frozenset()
    fields = frozenset((given,) if isinstance(given, str) else given)
    unknown = sorted(fields - {*FIELDS, "tags"})
    if unknown:
        raise GenOpsValidationError(
            f"governance(baggage=…): {', '.join(unknown)} is not a field; the fields are {', '.join(FIELDS)} and tags"
        )
    return fields


@functools.lru_cache(maxsize=1)
def _baggage_out() -> frozenset[str]:
    return Settings.from_environ(strict=False).baggage_out
