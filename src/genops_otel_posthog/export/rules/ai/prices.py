"""What a model call cost by published prices, from the package ``genai-prices`` where that is installed.

Only for figures of one's own: PostHog prices ``$ai_generation`` itself. A model that is not known has no price; that
is never the price 0.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.rules.ai.call import AiCall
from genops_otel_posthog.export.rules.ai.rates import Price, Rates, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable


_MOST_KNOWN = 512  # models


class ModelPrices(Protocol):
    """Knows what model calls cost."""

    def price(self, ai: AiCall, at: int) -> Price | None:
        """The price of a call, ``None`` when it is not known.

        Args:
            ai: The call.
            at: When it was made, nanoseconds since 1970-01-01 UTC.
        """
        ...


# The conventions' names of providers that genai-prices knows by another.
_PROVIDERS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertexai": "google",
    "x_ai": "x-ai",
    "xai": "x-ai",
}


class PublishedPrices:
    """Prices of ``genai-prices``: https://github.com/pydantic/genai-prices. It brings them along and asks no network.

    Raises:
        GenOpsConfigurationError: The package is not installed.
    """

    def __init__(self) -> None:
        try:
            package = import_module("genai_prices")
        except ModuleNotFoundError as error:
            raise GenOpsConfigurationError(
                "prices of model calls need genai-prices, which is not installed: "
                "pip install 'genops-otel-posthog[prices]'"
            ) from error
        self._usage: Callable[..., Any] = package.Usage
        self._calc: Callable[..., Any] = package.calc_price
        self._snapshot = _snapshots()
        self._known: dict[tuple[str, str | None], Rates | _Unknown | None] = {}

    def price(self, ai: AiCall, at: int) -> Price | None:
        """The price of a call, ``None`` when model, provider or usage are not known to ``genai-prices``."""
        count = ai.all_input_tokens
        if ai.model is None or count is None:
            return None
        tokens = Tokens(count, ai.output_tokens, ai.cache_read_tokens, ai.cache_write_tokens)
        seconds = at // 1_000_000_000
        snapshot = self._snapshot()
        key = (ai.model, ai.provider)
        known = self._known.get(key)
        if known is not None and not tokens.contradict and known.hold(snapshot, seconds):
            return known.price(tokens)
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        provider = None if ai.provider is None else _PROVIDERS.get(ai.provider, ai.provider)
        # A gateway's name in place of the provider's is common; the model's own name then decides.
        for provider_id in dict.fromkeys((provider, None)):
            try:
                price, found = self._ask(ai.model, provider_id, moment, tokens)
            except LookupError:
                continue
            is_new = known is not None or key not in self._known
            if is_new and found is not None and snapshot is not None and not tokens.contradict:
                self._learn(key, Rates(snapshot, found.model, found.model_price), provider_id, moment)
            return price
        if snapshot is not None:
            self._remember(key, _Unknown(snapshot))
        return None

    def _ask(self, model: str, provider: str | None, moment: datetime, tokens: Tokens) -> tuple[Price | None, Any]:
        usage = {
            "input_tokens": tokens.input,
            "output_tokens": tokens.output,
            "cache_read_tokens": tokens.read or None,
            "cache_write_tokens": tokens.written or None,
        }
        try:
            found = self._calc(
                self._usage(**{name: value for name, value in usage.items() if value is not None}),
                model_ref=model,
                provider_id=provider,
                genai_request_timestamp=moment,
            )
        except ValueError:  # counts that contradict each other have no price
            return None, None
        return Price(Decimal(found.input_price), Decimal(found.output_price)), found

    def _learn(self, key: tuple[str, str | None], rates: Rates, provider: str | None, moment: datetime) -> None:
        agree = rates.agree(lambda tokens: self._ask(key[0], provider, moment, tokens)[0])
        self._remember(key, rates if agree else None)

    def _remember(self, key: tuple[str, str | None], known: Rates | _Unknown | None) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}
        self._known[key] = known


class _Unknown:
    """A model that the prices of a snapshot do not have: looking for it takes long."""

    def __init__(self, snapshot: object) -> None:
        self._snapshot = snapshot

    def hold(self, snapshot: object, _seconds: int) -> bool:
        return snapshot is self._snapshot

    def price(self, _tokens: Tokens) -> None:
        return None


def _snapshots() -> Callable[[], object]:
    """What gives the prices that hold now, which the application may have updated; of none, nothing is remembered."""
    try:
        given: Callable[[], object] = import_module("genai_prices.data_snapshot").get_snapshot
    except (ImportError, AttributeError):
        return lambda: None
    return given
