"""What a row means, and which rows there cannot be."""

from __future__ import annotations

import pytest

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.flags import FlagRow, Subject, Variant
from genops_otel_posthog.flags.row import variants_from_json, variants_to_json

USER = Subject("u1", "acme")


def test_a_row_that_is_on_without_a_rollout_is_on_for_all_of_them():
    answer = FlagRow("beta", version=4).answer(USER, stale_s=2.5)
    assert (answer.enabled, answer.value, answer.reason, answer.version) == (True, True, "static", 4)
    assert (answer.source, answer.stale_s, answer.detail) == ("database", 2.5, "global row, within its rollout")


def test_a_row_that_is_off_is_an_answer():
    answer = FlagRow("beta", enabled=False, variant="a", payload=1).answer(USER)
    assert (answer.value, answer.is_known, answer.reason) == (False, True, "disabled")
    assert (answer.variant, answer.payload) == (None, None)


def test_one_variant_is_given_to_all_with_the_payload():
    answer = FlagRow("pricing", variant="short", payload={"words": 3}).answer(USER)
    assert (answer.value, answer.variant, answer.payload, answer.reason) == ("short", "short", {"words": 3}, "static")


def test_a_variants_own_payload_goes_before_the_rows():
    variants = (Variant("a", 100, payload="of a"), Variant("b", 0))
    assert FlagRow("pricing", variants=variants, payload="of all").answer(USER).payload == "of a"
    assert FlagRow("pricing", variants=(Variant("a", 100),), payload="of all").answer(USER).payload == "of all"


def test_outside_of_a_rollout_a_flag_is_off_and_not_unknown():
    answer = FlagRow("beta", rollout_pct=0).answer(USER)
    assert (answer.enabled, answer.is_known, answer.reason) == (False, True, "split")


def test_variants_survive_their_way_through_the_database():
    variants = (Variant("a", 12.5, {"x": [1]}), Variant("b", 87.5))
    assert variants_from_json(variants_to_json(variants)) == variants
    assert variants_from_json(variants_to_json(())) == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"flag_key": ""}, "1 to 255 characters"),
        ({"flag_key": "k" * 256}, "1 to 255 characters"),
        ({"scope": "team", "scope_id": "x"}, "one of user, workspace and global"),
        ({"scope": "user"}, "needs the id of its user"),
        ({"scope_id": "u1"}, "is for everybody and has no id"),
        ({"scope": "user", "scope_id": "u" * 256}, "longer than 255"),
        ({"rollout_pct": 101}, "from 0 to 100, not 101"),
        ({"rollout_pct": -1}, "from 0 to 100, not -1"),
        ({"rollout_pct": float("nan")}, "from 0 to 100, not nan"),
        ({"variant": "a", "variants": (Variant("b", 100),)}, "one variant for all or a split"),
        ({"variants": (Variant("a", 60), Variant("b", 60))}, "together at most 100"),
        ({"variants": (Variant("", 60),)}, "each variant has a key"),
    ],
)
def test_a_row_that_means_nothing_is_refused_with_its_reason(wrong, said):
    with pytest.raises(GenOpsValidationError, match=said):
        FlagRow(**{"flag_key": "beta", **wrong})
