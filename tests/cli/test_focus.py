"""``genops-posthog export focus``: rows that FinOps tools read, and that add up to the bill."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_otel_posthog.cli.focus import _SERVICES, VERSIONS, Account, Period, columns, focus_rows
from genops_otel_posthog.money import nano_from_usd
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.meters import METERS, MODEL_COST

BOOK = PriceBook.load("posthog-2026-07-22")
PRICED = [meter for meter in METERS if BOOK.prices(meter)]
MONTH = "2026-11"

# https://focus.finops.org/focus-specification/v1-2/: the columns that every file has.
MANDATORY = set(
    re.split(
        r"\s+",
        "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart "
        "ChargeCategory ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost "
        "InvoiceIssuerName ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName",
    )
)
MAY_BE_NULL = {"BillingAccountName", "ChargeClass"}
# The same document, "Service Category".
CATEGORIES = {
    "AI and Machine Learning",
    "Analytics",
    "Business Applications",
    "Compute",
    "Databases",
    "Developer Tools",
    "Integration",
    "Management and Governance",
}
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


def rows_of(usage: dict[str, int], version: str = "1.2") -> list[dict[str, str]]:
    def day(month: int, number: int) -> datetime:
        return datetime(2026, month, number, tzinfo=timezone.utc)

    period = Period(day(11, 1), day(12, 1), day(11, 23))
    return list(focus_rows(usage, BOOK, period, Account("0192"), version))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@settings(deadline=None)  # a shared machine may pause at any example
@given(usage=st.dictionaries(st.sampled_from(PRICED), st.integers(0, 10**10), max_size=6))
def test_rows_of_a_meter_add_up_to_what_it_costs(usage: dict[str, int]):
    rows = rows_of(usage)
    for meter, units in usage.items():
        of_meter = [row for row in rows if row["SkuId"] == meter]
        assert sum(Decimal(row["PricingQuantity"]) for row in of_meter) == units
        cost = sum((Decimal(row["BilledCost"]) for row in of_meter), Decimal())
        assert nano_from_usd(str(cost)) == BOOK.cumulative_nano(meter, units)


@settings(deadline=None)  # a shared machine may pause at any example
@given(meter=st.sampled_from(PRICED), units=st.integers(1, 10**10))
def test_within_a_row_cost_is_exactly_quantity_times_price(meter: str, units: int):
    for row in rows_of({meter: units}):
        assert Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) == Decimal(row["ListCost"])
        assert row["BilledCost"] == row["EffectiveCost"] == row["ContractedCost"]
        assert re.fullmatch(r"\d+\.\d+", row["BilledCost"])


@pytest.mark.parametrize("meter", PRICED)
def test_every_meter_has_what_every_row_must_have(meter: str):
    (row, *_) = rows_of({meter: 1})
    assert row.keys() >= MANDATORY
    assert {column for column in MANDATORY if not row[column]} == MAY_BE_NULL
    assert row["ServiceCategory"] in CATEGORIES
    for column in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"):
        assert INSTANT.fullmatch(row[column])
    details = json.loads(row["SkuPriceDetails"])
    assert all(key.startswith("x_") and isinstance(value, int) for key, value in details.items())


def test_every_meter_of_posthog_belongs_to_a_service_of_one_kind():
    assert set(_SERVICES) == set(METERS)
    kinds = {service.name: (service.category, service.subcategory) for service in _SERVICES.values()}
    assert len(kinds) == len(set(_SERVICES.values()))


def test_tiers_have_rows_and_names_of_their_own():
    rows = rows_of({"events": 2_500_000})
    assert [(row["SkuPriceId"], row["PricingQuantity"], row["ListUnitPrice"]) for row in rows] == [
        ("events/0-1M", "1000000.0", "0.0"),
        ("events/1M-2M", "1000000.0", "0.00005"),
        ("events/2M-15M", "500000.0", "0.0000343"),
    ]
    assert rows[2]["ChargeDescription"].endswith("; tier 2M to 15M")


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_differ_in_who_provides(version: str):
    (row,) = rows_of({"events": 5}, version)
    assert tuple(row) == columns(version)
    assert ("ProviderName" in row, "ServiceProviderName" in row) == (version != "1.4", version != "1.2")
    assert [column for column in row if column.startswith("x_")] == list(row)[-2:]


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def used(house: Any) -> Any:
    house.ledger.raise_usage(
        MONTH, {"events": 1_500_000, "feature_flag_requests": 7, MODEL_COST: 123}, actor="ann", note=""
    )
    return house


def test_the_month_is_written_as_csv(used: Any, tmp_path: Path):
    path = tmp_path / "november.csv"

    assert used.run("export", "focus", "-o", str(path), "--organization-id", "0192", "--tags", "a=b").exit_code == 0

    rows = read(path.read_text(encoding="utf-8"))
    assert [row["SkuPriceId"] for row in rows] == ["events/0-1M", "events/1M-2M", "feature_flag_requests/0-1M"]
    assert rows[1]["BilledCost"] == "25.0"
    assert rows[0]["BillingAccountId"] == "posthog:org:0192"
    assert json.loads(rows[0]["Tags"]) == {"a": "b"}
    assert (rows[0]["SubAccountId"], rows[0]["SubAccountType"]) == ("", "")


def test_a_month_that_lasts_is_charged_to_the_end_of_the_day(used: Any):
    (row, *_) = read(used.run("export", "focus").stdout)

    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-11-23T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")


def test_a_month_that_is_over_is_charged_to_its_end(used: Any):
    used.ledger.raise_usage("2026-10", {"exceptions": 3}, actor="ann", note="")

    (row,) = read(used.run("export", "focus", "--month", "2026-10", "--project-id", "7").stdout)

    assert row["ChargePeriodEnd"] == row["BillingPeriodEnd"] == "2026-11-01T00:00:00Z"
    assert (row["SubAccountId"], row["SubAccountType"]) == ("posthog:project:7", "Project")


def test_a_month_without_usage_is_a_header(house: Any):
    answer = house.run("export", "focus", "--month", "2026-09", "--focus-version", "1.4")

    assert (answer.exit_code, answer.stdout) == (0, ",".join(columns("1.4")) + "\n")


def test_usage_without_a_price_is_told_and_has_no_row(used: Any):
    answer = used.run("export", "focus", "--price-book", "genops-guide")
    used.ledger.raise_usage(MONTH, {"rows_synced": 9}, actor="ann", note="")
    incomplete = used.run("export", "focus", "--price-book", "genops-guide")

    assert (answer.exit_code, incomplete.exit_code) == (0, 1)
    assert "rows_synced: 9 units have no price in genops-guide" in incomplete.stderr
    assert incomplete.stdout == answer.stdout


def test_json_has_the_same_rows(used: Any):
    document = used.document("export", "focus")

    assert (document["focus_version"], document["month"], document["without_price"]) == ("1.2", MONTH, [])
    assert document["rows"] == read(used.run("export", "focus").stdout)


@pytest.mark.parametrize("arguments", [("--month", "november"), ("--focus-version", "2"), ("-o", "/dev/null/x")])
def test_wrong_use_ends_with_2(used: Any, arguments: tuple[str, ...]):
    assert used.run("export", "focus", *arguments).exit_code == 2
