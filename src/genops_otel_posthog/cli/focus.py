"""Usage of a month as rows of FOCUS, the FinOps Open Cost and Usage Specification.

One row for each meter and price tier, because within a tier a cost is exactly a quantity times a price. The rows of a
meter add up to what the organisation pays for it.

Source: https://focus.finops.org/focus-specification/v1-2/; what later versions add and take away:
https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec/blob/working_draft/CHANGELOG.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from genops_otel_posthog.cli.output import plain, volume
from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook, Rate
from genops_otel_posthog.pricing.meters import METERS, MODEL_COST

VERSIONS: Final = ("1.2", "1.3", "1.4")

Row = dict[str, str]
"""Values by column; an empty text is null."""


class _Service(NamedTuple):
    name: str
    category: str
    subcategory: str


_ANALYTICS = ("Analytics", "Analytics Platforms")
_OBSERVABILITY = ("Management and Governance", "Observability")
_GENERATIVE = ("AI and Machine Learning", "Generative AI")
_WORKFLOWS = ("Integration", "Workflow Orchestration")

#: Meter → PostHog's product and what FOCUS calls its kind. A product is of one kind.
_SERVICES: Final[Mapping[str, _Service]] = {
    "events": _Service("Product Analytics", *_ANALYTICS),
    "identified_events": _Service("Product Analytics", *_ANALYTICS),
    "group_analytics": _Service("Product Analytics", *_ANALYTICS),
    "feature_flag_requests": _Service("Feature Flags", "Developer Tools", "Developer Platforms"),
    "exceptions": _Service("Error Tracking", *_OBSERVABILITY),
    "llm_events": _Service("AI Observability", *_OBSERVABILITY),
    "survey_responses": _Service("Surveys", *_ANALYTICS),
    "recordings": _Service("Session Replay", *_ANALYTICS),
    "mobile_recordings": _Service("Session Replay", *_ANALYTICS),
    "cdp_trigger_events": _Service("Data Pipelines", "Integration", "Other (Integration)"),
    "rows_exported": _Service("Data Pipelines", "Integration", "Other (Integration)"),
    "data_pipelines": _Service("Data Pipelines", "Integration", "Other (Integration)"),
    "rows_synced": _Service("Data Warehouse", "Databases", "Data Warehouses"),
    "workflow_emails": _Service("Workflows", *_WORKFLOWS),
    "workflow_destinations_dispatched": _Service("Workflows", *_WORKFLOWS),
    "logs_mb_ingested": _Service("Logs", *_OBSERVABILITY),
    "logs_retention_30d": _Service("Logs", *_OBSERVABILITY),
    "ai_credits": _Service("PostHog AI", *_GENERATIVE),
    "replay_vision_credits": _Service("Replay Vision", *_GENERATIVE),
    "posthog_code_credits": _Service("PostHog Desktop", *_GENERATIVE),
    "signals_credits": _Service("Inbox", *_GENERATIVE),
}

_PLURALS: Final = {"MB": "MB", "dispatch": "Dispatches"}

#: Columns in the order of the file. FOCUS asks for the names, not for an order, but that custom ones come last.
_COLUMNS: Final = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountStatus",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_GenopsEstimated",
    "x_GenopsPriceBook",
)
_SINCE_1_3: Final = {"ServiceProviderName", "HostProviderName"}
_UNTIL_1_3: Final = {"ProviderName", "PublisherName"}


@dataclass(frozen=True)
class Account:
    """Whose usage it is.

    Attributes:
        organization_id: PostHog's id of the organisation.
        organization_name: Its name.
        project_id: PostHog's id of the project, where the usage is that of one.
        project_name: Its name.
        invoice_issuer: Who sends the invoice.
        tags: For every row.
    """

    organization_id: str
    organization_name: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    invoice_issuer: str = "PostHog"
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Period:
    """A billing month, and the part of it that is over, aware UTC; the ends do not belong to them."""

    start: datetime
    end: datetime
    charged_until: datetime


def columns(version: str) -> tuple[str, ...]:
    """The columns of a version of FOCUS.

    Args:
        version: One of :data:`VERSIONS`.
    """
    left_out = _SINCE_1_3 if version == "1.2" else _UNTIL_1_3 if version == "1.4" else set()
    return tuple(column for column in _COLUMNS if column not in left_out)


def focus_rows(
    usage: Mapping[str, int], book: PriceBook, period: Period, account: Account, version: str = "1.2"
) -> Iterator[Row]:
    """The rows of a month, by meter in the order of PostHog's price list, and by tier.

    Args:
        usage: Units per meter.
        book: Their prices. Meters without a price have no row: see :func:`without_price`.
        period: The month.
        account: Whose usage it is.
        version: One of :data:`VERSIONS`.
    """
    wanted = columns(version)
    for meter in METERS:
        if usage.get(meter, 0) > 0 and book.prices(meter):
            rate = book.rate(meter)
            for number, (above, units) in enumerate(_by_tier(rate, usage[meter])):
                row = _row(meter, rate, number, above, units, book, period, account)
                yield {column: row[column] for column in wanted}


def without_price(usage: Mapping[str, int], book: PriceBook) -> list[str]:
    """Meters with usage that cannot be a row, because nobody knows what they cost.

    What calls of models have cost is not among them: it is no usage of PostHog's.
    """
    return [meter for meter, units in usage.items() if units > 0 and meter != MODEL_COST and not book.prices(meter)]


def _by_tier(rate: Rate, units: int) -> Iterator[tuple[int, int]]:
    """Units below each tier that is used, and those within it."""
    above = 0
    for bound in (*rate.bounds, units):
        within = min(bound, units) - above
        if within <= 0:
            return
        yield above, within
        above += within


def _row(
    meter: str, rate: Rate, number: int, above: int, units: int, book: PriceBook, period: Period, account: Account
) -> Row:
    tier = rate.tiers[number]
    price, quantity = usd_from_nano(tier.price_nano), _decimal(Decimal(units))
    cost = _decimal(usd_from_nano(tier.price_nano * units))
    upper = "and more" if tier.up_to is None else f"to {volume(tier.up_to)}"
    service = _SERVICES[meter]
    unit = _PLURALS.get(rate.unit, f"{rate.unit.capitalize()}s")
    details = {"x_TierFrom": above, "x_TierTo": tier.up_to}
    return {
        "BilledCost": cost,
        "BillingAccountId": f"posthog:org:{account.organization_id}",
        "BillingAccountName": account.organization_name or "",
        "BillingAccountType": "Organization",
        "BillingCurrency": book.currency,
        "BillingPeriodEnd": _instant(period.end),
        "BillingPeriodStart": _instant(period.start),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{service.name}: {METERS[meter].counts.replace('`', '')}; tier {volume(above)} {upper}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _instant(period.charged_until),
        "ChargePeriodStart": _instant(period.start),
        "CommitmentDiscountStatus": "",
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedCost": cost,
        "ContractedUnitPrice": _decimal(price),
        "EffectiveCost": cost,
        "HostProviderName": "PostHog",
        "InvoiceIssuerName": account.invoice_issuer,
        "ListCost": cost,
        "ListUnitPrice": _decimal(price),
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ProviderName": "PostHog",
        "PublisherName": "PostHog",
        "ServiceCategory": service.category,
        "ServiceName": service.name,
        "ServiceProviderName": "PostHog",
        "ServiceSubcategory": service.subcategory,
        "SkuId": meter,
        "SkuMeter": meter,
        "SkuPriceDetails": json.dumps({key: value for key, value in details.items() if value is not None}),
        "SkuPriceId": f"{meter}/{volume(above)}-{'' if tier.up_to is None else volume(tier.up_to)}",
        "SubAccountId": "" if account.project_id is None else f"posthog:project:{account.project_id}",
        "SubAccountName": account.project_name or "",
        "SubAccountType": "" if account.project_id is None else "Project",
        "Tags": json.dumps(dict(account.tags), ensure_ascii=False) if account.tags else "",
        "x_GenopsEstimated": "true",
        "x_GenopsPriceBook": book.name,
    }


def _decimal(amount: Decimal) -> str:
    """A number that readers of CSV take for a decimal, also where it is a whole one."""
    text = plain(amount)
    return text if "." in text else f"{text}.0"


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
