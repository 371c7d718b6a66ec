"""The figures that the package ships, against what PostHog and the guide publish."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from genops_otel_posthog.money import nano_from_usd, usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.book_file import BOOKS_DIRECTORY
from genops_otel_posthog.pricing.meters import METERS
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

PUBLISHED = json.loads((Path(__file__).parent / "published_tiers.json").read_text(encoding="utf-8"))["products"]
# Three products are published per something larger than the unit that is counted.
COUNTED_PER_PUBLISHED_UNIT = {"logs": 1000, "logs_retention_30d": 1000, "inbox": 1500}


@pytest.fixture
def newest() -> PriceBook:
    return PriceBook.load("posthog-2026-07-22")


@pytest.fixture
def guide() -> PriceBook:
    return PriceBook.load("genops-guide")


def cost(book: PriceBook, **units: int) -> Decimal:
    return sum((usd_from_nano(book.cumulative_nano(meter, count)) for meter, count in units.items()), Decimal(0))


@pytest.mark.requirement("D-07")
def test_the_default_book_is_posthogs_newest():
    assert PriceBook.available()[0] == DEFAULT_PRICE_BOOK == "posthog-2026-07-22"


def test_the_books_are_listed_posthogs_own_first_and_the_newest_on_top():
    assert PriceBook.available() == (
        "posthog-2026-07-22",
        "posthog-2025-10-20",
        "posthog-2025-08-22",
        "posthog-2024-08-01",
        "posthog-2024-03-07",
        "genops-guide",
    )


@pytest.mark.parametrize("meter", METERS.values(), ids=lambda meter: meter.name)
def test_the_newest_book_has_every_figure_that_posthog_publishes(newest: PriceBook, meter):
    published = PUBLISHED[meter.product]
    scale = COUNTED_PER_PUBLISHED_UNIT.get(meter.product, 1)
    rate = newest.rate(meter.name)
    assert [tier.up_to for tier in rate.tiers] == [up_to and up_to * scale for up_to, _ in published["tiers"]]
    assert [tier.price_nano * scale for tier in rate.tiers] == [nano_from_usd(price) for _, price in published["tiers"]]
    assert rate.plan == published["plan"]
    assert rate.source


def test_the_newest_book_prices_every_meter(newest: PriceBook):
    assert set(newest.rates) == set(METERS)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"events": 1_000_000}, "0"),
        ({"events": 2_000_000}, "50"),
        ({"events": 10_000_000}, "324.40"),
        ({"events": 12_000_000}, "393.00"),
        ({"events": 500_000_000}, "7118.40"),
        ({"events": 1_590_730}, "29.5365"),
        ({"recordings": 5_000}, "0"),
        ({"recordings": 15_000}, "50"),
        ({"recordings": 20_000}, "67.50"),
        ({"recordings": 25_000}, "85"),
        ({"recordings": 50_000}, "172.5"),
        ({"recordings": 100_000}, "272.5"),
        ({"recordings": 150_000}, "372.50"),
        ({"recordings": 250_000}, "542.5"),
        ({"events": 2_000_000, "identified_events": 2_000_000}, "248"),
        ({"events": 2_000_000, "identified_events": 2_000_000, "group_analytics": 2_000_000}, "319"),
        ({"events": 2_000_000, "identified_events": 1_000_000}, "50"),
        ({"logs_mb_ingested": 100_000}, "22.50"),
        ({"feature_flag_requests": 3_000_000}, "145"),
        ({"survey_responses": 2_500}, "67.5"),
        ({"exceptions": 200_000}, "37"),
        ({"signals_credits": 4 * 1500}, "15"),
    ],
)
def test_the_newest_book_gives_the_totals_that_posthog_publishes(
    newest: PriceBook, usage: dict[str, int], dollars: str
):
    assert cost(newest, **usage) == Decimal(dollars)


def test_a_download_of_flag_definitions_counts_ten_and_one_that_changed_nothing_none(newest: PriceBook):
    assert (newest.flag_poll_units, newest.flag_poll_not_modified_units) == (10, 0)


@pytest.mark.parametrize(
    ("events", "dollars"),
    [
        (0, "0"),
        (1, "0"),
        (1_000_000, "0"),
        (1_000_001, "0.00005"),
        (1_500_000, "25"),
        (2_000_000, "50"),
        (2_000_001, "50.000025"),
        (2_500_000, "62.5"),
        (3_000_000, "75"),
        (5_000_000, "125"),
        (10_000_000, "250"),
        (10_000_001, "250.000015"),
        (12_000_000, "280"),
        (50_000_000, "850"),
        (50_000_001, "850.000009"),
        (60_000_000, "940"),
        (100_000_000, "1300"),
    ],
)
@pytest.mark.requirement("D-05", "D-07")
def test_the_guides_book_prices_events_as_the_guide_does(guide: PriceBook, events: int, dollars: str):
    assert cost(guide, events=events) == Decimal(dollars)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"identified_events": 10_000}, "1.98"),
        ({"identified_events": 3_000}, "0.594"),
        ({"feature_flag_requests": 1_000_000}, "0"),
        ({"feature_flag_requests": 1_250_000}, "1.25"),
        ({"recordings": 5_000}, "0"),
        ({"recordings": 10_000}, "0.355"),
        ({"recordings": 8_000}, "0.213"),
        ({"llm_events": 100_000}, "0"),
        ({"llm_events": 150_000}, "5"),
    ],
)
def test_the_guides_book_prices_the_other_meters_as_the_guide_does(
    guide: PriceBook, usage: dict[str, int], dollars: str
):
    assert cost(guide, **usage) == Decimal(dollars)


def test_the_guides_book_prices_the_guides_five_meters_and_no_other(guide: PriceBook):
    assert set(guide.rates) == {"events", "identified_events", "feature_flag_requests", "recordings", "llm_events"}


@pytest.mark.parametrize(
    ("book", "usage", "dollars"),
    [
        ("posthog-2024-03-07", {"events": 7_000_000}, "960"),
        ("posthog-2024-03-07", {"identified_events": 7_000_000}, "0"),
        ("posthog-2024-08-01", {"events": 3_000_000, "identified_events": 3_000_000}, "352"),
        ("posthog-2024-08-01", {"recordings": 25_000}, "85"),
        ("posthog-2025-08-22", {"llm_events": 300_000}, "12"),
        ("posthog-2025-08-22", {"rows_synced": 20_000_000}, "235"),
        ("posthog-2025-10-20", {"rows_synced": 20_000_000}, "235"),
        ("posthog-2025-10-20", {"rows_synced": 200_000_000}, "935"),
        ("posthog-2025-10-20", {"llm_events": 300_000}, "12"),
        ("posthog-2026-07-22", {"llm_events": 300_000}, "40"),
    ],
)
def test_an_older_book_gives_the_totals_of_its_time(book: str, usage: dict[str, int], dollars: str):
    assert cost(PriceBook.load(book), **usage) == Decimal(dollars)


@pytest.mark.parametrize("name", PriceBook.available())
@pytest.mark.requirement("D-07")
def test_a_shipped_book_says_when_it_applies_and_where_it_comes_from(name: str):
    book = PriceBook.load(name)
    assert book.name == name
    assert date(2024, 1, 1) <= book.effective_from
    assert name.endswith(book.effective_from.isoformat()) or name == "genops-guide"
    assert all(rate.source for rate in book.rates.values())


@pytest.mark.parametrize("name", PriceBook.available())
def test_a_shipped_book_follows_the_published_schema(name: str):
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked where jsonschema is installed")
    schema = json.loads((BOOKS_DIRECTORY / "schema.json").read_text(encoding="utf-8"))
    document = yaml.safe_load((BOOKS_DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8"))
    document["effective_from"] = document["effective_from"].isoformat()  # YAML reads a date, JSON has none
    jsonschema.Draft202012Validator(schema).validate(document)


def test_the_schema_names_every_meter_with_its_unit():
    schema = json.loads((BOOKS_DIRECTORY / "schema.json").read_text(encoding="utf-8"))
    units = {
        name: rate["properties"]["unit"]["const"] for name, rate in schema["properties"]["rates"]["properties"].items()
    }
    assert units == {meter.name: meter.unit for meter in METERS.values()}
