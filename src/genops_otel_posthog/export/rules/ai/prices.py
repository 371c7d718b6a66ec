"""What a model call cost by published prices, from the package ``genai-prices`` where that is installed.

Only for figures of one's own: PostHog prices ``$ai_generation`` itself. A model that is not known has no price; that
is never the price 0.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.rules.ai.call import AiCall

if TYPE_CHECKING:
    from collections.abc import Callable


class Price(NamedTuple):
    """What a call cost, US dollars.

    Attributes:
        input: For what went in, cached tokens included.
        output: For what came out.
    """

    input: Decimal
    output: Decimal

    @property
    def total(self) -> Decimal:
        """Both together."""
        return self.input + self.output


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

    def price(self, ai: AiCall, at: int) -> Price | None:
        """The price of a call, ``None`` when model, provider or usage are not known to ``genai-prices``."""
        tokens = ai.all_input_tokens
        if ai.model is None or tokens is None:
            return None
        usage = {
            "input_tokens": tokens,
            "output_tokens": ai.output_tokens,
            "cache_read_tokens": ai.cache_read_tokens or None,
            "cache_write_tokens": ai.cache_write_tokens or None,
        }
        moment = datetime.fromtimestamp(at // 1_000_000_000, timezone.utc)
        provider = None if ai.provider is None else _PROVIDERS.get(ai.provider, ai.provider)
        # A gateway's name in place of the provider's is common; the model's own name then decides.
        for provider_id in dict.fromkeys((provider, None)):
            try:
                found = self._calc(
                    self._usage(**{name: value for name, value in usage.items() if value is not None}),
                    model_ref=ai.model,
                    provider_id=provider_id,
                    genai_request_timestamp=moment,
                )
            except LookupError:
                continue
            except ValueError:  # counts that contradict each other have no price
                return None
            return Price(Decimal(found.input_price), Decimal(found.output_price))
        return None
