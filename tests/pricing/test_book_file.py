"""The file format of price books: what is read, and how a bad file is refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.book import PriceBook, Tier

GOOD = """\
name: acme-2026
effective_from: 2026-01-01
currency: USD
sources: [contract 4711]
rates:
  events:
    unit: event
    plan: custom
    source: annex B
    tiers:
      - {up_to: 2_000_000, price: "0"}
      - {up_to: 50000000, price: "0.00004"}
      - {up_to: null, price: "0.000009"}
  signals_credits:
    unit: credit
    tiers:
      - {up_to: null, price: 1}
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "book.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def refusal(write):
    """The problems of a file: [(line, reason)]."""

    def refusal(text: str) -> list[tuple[int, str]]:
        path = write(text)
        with pytest.raises(GenOpsConfigurationError) as refused:
            PriceBook.load(path)
        problems = []
        for problem in str(refused.value).splitlines():
            assert problem.startswith(f"{path}:")
            line, _, reason = problem.removeprefix(f"{path}:").partition(": ")
            problems.append((int(line), reason))
        return problems

    return refusal


def change(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(GOOD.splitlines(), 1) if text in line)


def test_a_book_of_your_own_is_read_with_everything_it_says(write):
    book = PriceBook.load(write(GOOD))
    assert (book.name, book.effective_from, book.sources) == ("acme-2026", date(2026, 1, 1), ("contract 4711",))
    assert book.rate("events").tiers == (Tier(2_000_000, 0), Tier(50_000_000, 40_000), Tier(None, 9_000))
    assert (book.rate("events").plan, book.rate("events").source) == ("custom", "annex B")


def test_a_rate_without_a_source_has_the_first_of_the_book(write):
    assert PriceBook.load(write(GOOD)).rate("signals_credits").source == "contract 4711"


def test_a_whole_price_needs_no_quotes(write):
    assert PriceBook.load(write(GOOD)).list_price_nano("signals_credits") == 1_000_000_000


def test_a_book_can_be_given_as_text_of_a_path_too(write):
    assert PriceBook.load(str(write(GOOD))).name == "acme-2026"


def test_a_book_counts_downloads_of_flag_definitions_as_posthog_does_unless_it_says_otherwise(write):
    book = PriceBook.load(write(GOOD))
    assert (book.flag_poll_units, book.flag_poll_not_modified_units) == (10, 0)
    polls = "flag_definitions_poll: {units: 7, not_modified_units: 2, source: annex C}\n"
    book = PriceBook.load(write(GOOD + polls))
    assert (book.flag_poll_units, book.flag_poll_not_modified_units) == (7, 2)


def test_tiers_may_say_where_they_begin(write):
    text = change("{up_to: 50000000,", "{from: 2_000_000, up_to: 50000000,")
    assert PriceBook.load(write(text)).rate("events") == PriceBook.load(write(GOOD)).rate("events")


def test_a_book_that_extends_a_shipped_one_replaces_only_the_rates_it_names(write):
    text = change("currency: USD\n", "extends: posthog-2026-07-22\n")
    book, base = PriceBook.load(write(text)), PriceBook.load("posthog-2026-07-22")
    assert book.list_price_nano("events") == 40_000
    assert book.rate("llm_events") == base.rate("llm_events")
    assert book.sources == ("contract 4711", *base.sources)


def test_a_gap_between_tiers_is_refused_with_its_line(refusal):
    text = change("{up_to: 50000000,", "{from: 3_000_000, up_to: 50000000,")
    (line, reason), *rest = refusal(text)
    assert (line, rest) == (line_of("50000000"), [])
    assert "the tier from 3,000,000 leaves a gap after the tier before it, which ends at 2,000,000" in reason
    assert "write `from: 2000000`" in reason


def test_an_overlap_of_tiers_is_refused_with_its_line(refusal):
    [(line, reason)] = refusal(change("{up_to: 50000000,", "{from: 1_000_000, up_to: 50000000,"))
    assert line == line_of("50000000")
    assert "overlaps" in reason


def test_tiers_that_do_not_ascend_are_refused_with_their_line(refusal):
    [(line, reason)] = refusal(change("up_to: 50000000", "up_to: 1_000_000"))
    assert line == line_of("50000000")
    assert "the tier up to 1,000,000 overlaps the tier before it, which goes up to 2,000,000" in reason


def test_a_price_that_rises_after_the_free_tier_is_refused_with_its_line(refusal):
    [(line, reason)] = refusal(change('"0.000009"', '"0.00005"'))
    assert line == line_of('"0.000009"')
    assert "the price rises from 0.00004 to 0.00005" in reason


def test_a_missing_open_tier_is_refused_with_the_line_of_the_last_one(refusal):
    [(line, reason)] = refusal(change('up_to: null, price: "0.000009"', 'up_to: 90_000_000, price: "0.000009"'))
    assert line == line_of('"0.000009"')
    assert "the last tier ends at 90,000,000" in reason
    assert "`up_to: null`" in reason


def test_an_open_tier_before_the_last_one_is_refused(refusal):
    [(line, reason)] = refusal(change("up_to: 50000000", "up_to: null"))
    assert (line, reason) == (line_of("50000000"), "only the last tier may be open (`up_to: null`)")


def test_a_missing_unit_is_refused_with_the_line_of_its_meter(refusal):
    assert refusal(change("    unit: event\n", "")) == [(6, "`unit` of the rate of events is missing")]


def test_a_price_per_another_unit_is_refused(refusal):
    text = GOOD + '  logs_mb_ingested:\n    unit: GB\n    tiers: [{up_to: null, price: "0.25"}]\n'
    assert refusal(text) == [(19, "unit 'GB': logs_mb_ingested is counted in 'MB', give prices per MB")]


@pytest.mark.parametrize(
    ("typo", "line", "reason"),
    [
        (("sources:", "source:"), 4, "unknown key `source` in the price book; did you mean sources?"),
        (("    plan:", "    plann:"), 8, "unknown key `plann` in the rate of events; did you mean plan?"),
        (("{up_to: 2_000_000", "{upto: 2_000_000"), 11, "unknown key `upto` in a tier; did you mean up_to?"),
    ],
)
def test_a_misspelt_key_is_refused_once_with_the_one_that_was_meant(
    refusal, typo: tuple[str, str], line: int, reason: str
):
    assert refusal(change(*typo)) == [(line, reason)]


def test_a_key_that_resembles_nothing_gets_the_list(refusal):
    assert refusal("zzz: 1\n" + GOOD) == [
        (
            1,
            "unknown key `zzz` in the price book; known are name, effective_from, currency, sources, notes, extends, "
            "flag_definitions_poll, rates",
        )
    ]


def test_an_unknown_meter_is_refused_with_the_one_that_was_meant(refusal):
    assert refusal(change("  events:", "  event:")) == [(6, "'event' is not a meter; did you mean events?")]


def test_another_currency_is_refused(refusal):
    [(line, reason)] = refusal(change("currency: USD", "currency: EUR"))
    assert line == 3
    assert "currency 'EUR' is not supported; PostHog bills US dollars" in reason


def test_a_key_that_is_given_twice_is_refused_with_both_lines(refusal):
    assert refusal(GOOD + "name: other\n") == [(18, "`name` is given twice in the price book, first on line 1")]


def test_a_price_that_is_a_yaml_float_is_refused_with_the_way_to_write_it(refusal):
    [(line, reason)] = refusal(change('"0.00004"', "0.00004"))
    assert line == line_of("50000000")
    assert reason == 'price 0.00004 is a YAML float, which other readers round; put it in quotes: price: "0.00004"'


@pytest.mark.parametrize("price", ['"5e-05"', '"-1"', '"1,5"', "cheap", '"0x10"', "null", '"."'])
def test_a_price_that_is_no_amount_is_refused(refusal, price: str):
    [(line, reason)] = refusal(change('"0.00004"', price))
    assert line == line_of("50000000")
    assert "is not an amount of US dollars per unit" in reason


def test_a_price_finer_than_a_nano_dollar_is_refused(refusal):
    [(_, reason)] = refusal(change('"0.00004"', '"0.0000000001"'))
    assert "is not a whole number of nano-USD" in reason


@pytest.mark.parametrize("bound", ['"many"', "1.5", "1e6", "-5", "010", "1_000_"])
def test_a_bound_that_is_no_whole_number_is_refused(refusal, bound: str):
    [(line, reason)] = refusal(change("up_to: 50000000", f"up_to: {bound}"))
    assert line == line_of("50000000")
    assert "is not a whole number like 1_000_000" in reason


@pytest.mark.parametrize("key", ["name", "effective_from", "currency", "sources"])
def test_a_missing_part_of_the_book_is_refused(refusal, key: str):
    text = "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith(key))
    assert refusal(text) == [(1, f"`{key}` of the price book is missing")]


@pytest.mark.parametrize("when", ["2026-13-01", "2026-02-30", "20260101", "2026", "yesterday", "2026-W03-1"])
def test_a_wrong_date_is_refused(refusal, when: str):
    text = change("2026-01-01", when)
    assert refusal(text) == [(2, f"effective_from {when!r} is not a date like 2026-07-22")]


def test_an_empty_list_of_sources_is_refused(refusal):
    [(line, reason)] = refusal(change("[contract 4711]", "[]"))
    assert (line, "say where the figures come from" in reason) == (4, True)


def test_a_name_that_no_backend_would_take_is_refused(refusal):
    [(line, reason)] = refusal(change("acme-2026", "'acme prices!'"))
    assert (line, "letters, digits" in reason) == (1, True)


def test_a_book_can_extend_shipped_books_only(refusal):
    [(line, reason)] = refusal(change("currency: USD", "extends: posthog-2026-07-23"))
    assert line == 3
    assert "is not a shipped book; did you mean posthog-2026-07-22?" in reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the price book must be a mapping"),
        ("- a list\n", "the price book must be a mapping"),
        (GOOD.replace("    tiers:\n", "    tiers: {}\n    notes:\n", 1), "tiers must be a list"),
        (GOOD.replace("{up_to: null, price: 1}", "free"), "a tier must be a mapping"),
        (GOOD.replace("unit: credit", "unit: [credit]"), "unit must be a text"),
        (GOOD.replace("unit: credit", "unit: ''"), "unit must be a text"),
        (GOOD.replace("name: acme", "? [a]\n: b\nname: acme"), "a key of the price book must be a plain word"),
    ],
)
def test_a_file_of_another_shape_is_refused(refusal, text: str, reason: str):
    assert any(reason in found for _, found in refusal(text))


def test_a_file_that_is_not_yaml_is_refused_with_the_line(refusal):
    [(line, reason)] = refusal("name: a\nrates: {events: [\n")
    assert line == 3
    assert reason.startswith("this is not YAML")


def test_a_deeply_nested_file_is_refused_and_does_not_crash(refusal):
    [(line, reason)] = refusal("a:\n  " + "[" * 100_000)
    assert (line, reason) == (2, "this is nested deeper than any price book")


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(refusal):
    text = change("2026-01-01", "soon").replace("USD", "EUR").replace('"0.00004"', "0.00004")
    text = text.replace("    unit: credit\n", "")
    assert [line for line, _ in refusal(text)] == [2, 3, 12, 14]


def test_an_unknown_name_is_refused_with_the_books_there_are():
    with pytest.raises(
        GenOpsConfigurationError, match=r"no price book 'posthog-2026'; did you mean posthog-202"
    ) as refused:
        PriceBook.load("posthog-2026")
    assert "or give the path of a file" in str(refused.value)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path):
    with pytest.raises(GenOpsConfigurationError, match="there is no price book"):
        PriceBook.load(tmp_path / "nothing.yaml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    path = tmp_path / "book.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(GenOpsConfigurationError, match="cannot be read"):
        PriceBook.load(path)
