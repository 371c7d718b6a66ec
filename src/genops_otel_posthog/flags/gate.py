"""A function behind a flag."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError
from genops_otel_posthog.flags.answer import Subject
from genops_otel_posthog.flags.chain import FlagChain
from genops_otel_posthog.flags.current import current_chain, current_subject

_Function = TypeVar("_Function", bound=Callable[..., Any])


class GateClosedError(GenOpsError):
    """A function was not run because its flag is off.

    Attributes:
        flag: The flag.
    """

    def __init__(self, flag: str) -> None:
        super().__init__(
            f"the flag {flag!r} is off here, so what it stands before was not run; give its gate "
            "on_denied=... to do something else"
        )
        self.flag = flag

    def __reduce__(self) -> tuple[type[GateClosedError], tuple[str]]:
        return GateClosedError, (self.flag,)


def gate(
    flag: str,
    *,
    on_denied: Callable[..., Any] | None = None,
    fail: Literal["open", "closed"] = "closed",
    subject: Callable[..., Subject] | None = None,
    chain: FlagChain | None = None,
) -> Callable[[_Function], _Function]:
    """Runs a function, plain or ``async``, only where a flag is on.

    Args:
        flag: The flag. It is asked at each call.
        on_denied: Called with the same arguments where the flag is off, for its result; may be ``async`` if the
            function is. Without it, ``GateClosedError`` is raised.
        fail: Whether the gate is ``open`` or ``closed`` when nobody knows the flag.
        subject: Makes the subject out of the same arguments; when not given, the user and workspace of the call at
            hand: see :func:`~genops_otel_posthog.flags.current_subject`.
        chain: Who knows the flag; when not given, the chain of the process.

    Raises:
        GenOpsConfigurationError: ``fail`` is another word, or ``on_denied`` is ``async`` and the function is not.
    """
    if fail not in ("open", "closed"):
        raise GenOpsConfigurationError(f"a gate fails 'open' or 'closed', not {fail!r}")
    is_open_when_unknown = fail == "open"

    def whom(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Subject:
        return current_subject() if subject is None else subject(*args, **kwargs)

    def denied(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if on_denied is None:
            raise GateClosedError(flag)
        return on_denied(*args, **kwargs)

    def around(function: _Function) -> _Function:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def gated_async(*args: Any, **kwargs: Any) -> Any:
                answer = await (chain or current_chain()).answer_async(flag, whom(args, kwargs), is_open_when_unknown)
                if answer.enabled:
                    return await function(*args, **kwargs)
                result = denied(args, kwargs)
                return await result if inspect.isawaitable(result) else result

            return cast(_Function, gated_async)

        if inspect.iscoroutinefunction(on_denied):
            raise GenOpsConfigurationError(
                f"on_denied of the gate {flag!r} is async, and {function.__qualname__} is not; make both the same"
            )

        @functools.wraps(function)
        def gated(*args: Any, **kwargs: Any) -> Any:
            if (chain or current_chain()).answer(flag, whom(args, kwargs), is_open_when_unknown).enabled:
                return function(*args, **kwargs)
            return denied(args, kwargs)

        return cast(_Function, gated)

    return around
