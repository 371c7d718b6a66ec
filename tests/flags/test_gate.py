"""Functions behind flags, and flags that are asked for without saying for whom."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

from genops_otel_posthog import governance
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags import (
    FlagChain,
    FlagRow,
    GateClosedError,
    Subject,
    current_chain,
    current_subject,
    gate,
    get_flag_variant,
    get_flags,
    is_on,
    set_flag,
    use_chain,
)
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore

from .conftest import flag

pytestmark = pytest.mark.usefixtures("quiet_chain")


def on(*rows: FlagRow) -> None:
    for row in rows:
        current_chain().table.store.put(row)
    current_chain().table.refresh(10)


@gate("beta")
def new_checkout(basket: int, *, coupon: str = "") -> tuple[int, str]:
    """The new one."""
    return basket, coupon


def test_behind_a_flag_that_is_on_the_function_runs():
    on(FlagRow("beta"))
    assert new_checkout(3, coupon="x") == (3, "x")


@pytest.mark.requirement("D-40")
def test_behind_a_flag_that_is_off_it_does_not_and_says_so():
    on(FlagRow("beta", enabled=False))
    with pytest.raises(GateClosedError, match="the flag 'beta' is off here"):
        new_checkout(3)


def test_on_denied_is_called_with_the_same_arguments():
    @gate("beta", on_denied=lambda basket, **more: ("old", basket, more))
    def checkout(basket: int, **more: object) -> object:
        return "new"

    assert checkout(3, coupon="x") == ("old", 3, {"coupon": "x"})


@pytest.mark.parametrize(("fail", "result"), [("open", "new"), ("closed", "old")])
def test_what_nobody_knows_is_as_the_gate_says(fail, result):
    assert gate("beta", on_denied=lambda: "old", fail=fail)(lambda: "new")() == result


@pytest.mark.parametrize("fail", ["open", "closed"])
def test_off_is_off_even_if_the_gate_fails_open(fail):
    on(FlagRow("beta", enabled=False))
    assert gate("beta", on_denied=lambda: "old", fail=fail)(lambda: "new")() == "old"


async def test_a_coroutine_function_stays_one():
    @gate("beta", on_denied=lambda: "old")
    async def checkout() -> str:
        return "new"

    assert inspect.iscoroutinefunction(checkout)
    assert await checkout() == "old"
    on(FlagRow("beta"))
    assert await checkout() == "new"


async def test_on_denied_may_be_a_coroutine_function_if_the_function_is():
    async def old() -> str:
        return "old"

    async def new() -> str:
        return "new"

    assert await gate("beta", on_denied=old)(new)() == "old"


def test_a_coroutine_function_instead_of_a_plain_one_is_refused():
    async def old() -> str:
        return "old"

    with pytest.raises(GenOpsConfigurationError, match="make both the same"):
        gate("beta", on_denied=old)(lambda: "new")


def test_a_gate_that_fails_otherwise_is_refused():
    with pytest.raises(GenOpsConfigurationError, match="fails 'open' or 'closed', not 'shut'"):
        gate("beta", fail="shut")  # type: ignore[arg-type]  # that is what is tested


def test_a_gate_looks_like_its_function():
    assert (new_checkout.__name__, new_checkout.__doc__) == ("new_checkout", "The new one.")


def test_a_method_is_gated_with_its_instance():
    class Shop:
        @gate("beta", on_denied=lambda self: ("old", self.name))
        def checkout(self) -> tuple[str, str]:
            return "new", self.name

        name = "shop"

    assert Shop().checkout() == ("old", "shop")


def test_the_subject_may_come_from_the_arguments():
    on(FlagRow("beta", "user", "u1"))
    checkout = gate("beta", on_denied=lambda user: "old", subject=lambda user: Subject(user))(lambda user: "new")
    assert [checkout("u1"), checkout("u2")] == ["new", "old"]


def test_a_gate_may_have_a_chain_of_its_own():
    assert gate("beta", chain=FlagChain(), fail="open")(lambda: "new")() == "new"


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(GateClosedError("beta")))
    assert (error.flag, str(error)) == ("beta", str(GateClosedError("beta")))


# --- for whom ---------------------------------------------------------------------------------------------------------


def test_without_a_subject_it_is_the_user_and_workspace_of_the_block():
    on(FlagRow("beta", "user", "u1"), FlagRow("gamma", "workspace", "acme"))
    assert (is_on("beta"), is_on("gamma")) == (False, False)
    with governance(user_id="u1", workspace_id="acme"):
        assert (is_on("beta"), is_on("gamma")) == (True, True)
        assert current_subject() == Subject("u1", "acme")


def test_without_a_user_in_the_block_it_is_that_of_posthogs_context():
    import posthog

    contexts = pytest.importorskip("posthog.contexts")
    with posthog.new_context(fresh=True):
        contexts.identify_context("from-posthog")
        assert current_subject() == Subject("from-posthog")
        with governance(user_id="u1"):
            assert current_subject() == Subject("u1")


def test_a_user_that_is_given_goes_before_that_of_the_block():
    on(FlagRow("beta", "user", "u1"))
    with governance(user_id="u1"):
        assert not is_on("beta", "u2")


def test_nobody_knows_a_flag_and_the_default_holds():
    assert (is_on("delta"), is_on("delta", default=True)) == (False, True)


# --- functions without a chain ----------------------------------------------------------------------------------------


@pytest.mark.requirement("S3-16")
def test_a_variant_as_a_dictionary():
    on(FlagRow("pricing", variant="short"), FlagRow("beta"), FlagRow("off", enabled=False, variant="short"))
    assert get_flag_variant("pricing", "u1") == {"enabled": True, "variant": "short"}
    assert get_flag_variant("beta", "u1") == {"enabled": True}
    assert get_flag_variant("off", "u1") == {"enabled": False}
    assert get_flag_variant("delta", "u1", default="x") == {"enabled": True, "variant": "x"}


@pytest.mark.requirement("D-41")
def test_the_variant_control_is_not_enabled_unless_it_is_to_count():
    on(FlagRow("pricing", variant="control"))
    assert get_flag_variant("pricing", "u1") == {"enabled": False, "variant": "control"}
    assert get_flag_variant("pricing", "u1", control_is_enabled=True) == {"enabled": True, "variant": "control"}
    assert is_on("pricing", "u1"), "for PostHog any variant is on"


@pytest.mark.requirement("D-42")
def test_the_row_of_the_user_goes_before_the_workspaces_and_that_before_everybodys(store):
    asked = {"user_id": "u1", "workspace_id": "acme"}
    assert not is_on("beta", **asked), "the default"
    on(FlagRow("beta"))
    assert is_on("beta", **asked)
    on(FlagRow("beta"), FlagRow("beta", "workspace", "acme", enabled=False))
    assert not is_on("beta", **asked)
    on(FlagRow("beta"), FlagRow("beta", "workspace", "acme", enabled=False), FlagRow("beta", "user", "u1"))
    assert is_on("beta", **asked)
    use_chain(FlagChain(database=SqliteFlagStore(Path("/proc/nobody/flags.sqlite3"))))
    assert not is_on("beta", **asked), "a database that cannot be used raises nothing"


@pytest.mark.parametrize(
    ("whom", "scope"),
    [({"user_id": "u1"}, ("user", "u1")), ({"workspace_id": "acme"}, ("workspace", "acme")), ({}, ("global", ""))],
)
@pytest.mark.requirement("S3-17")
def test_a_flag_is_set_in_the_database_for_whom_it_is_said(whom, scope):
    stored = set_flag("beta", True, **whom, variant="a", payload=[1], rollout_pct=50)
    assert (stored.scope, stored.scope_id) == scope
    assert current_chain().table.store.rows() == [stored]


def test_what_was_set_here_holds_here_at_once():
    set_flag("beta", True)
    current_chain().table.refresh(10)
    assert is_on("beta", "u1")


@pytest.mark.requirement("S3-21", "D-40")
def test_all_flags_of_a_user_with_every_gate_for_a_front_end():
    on(FlagRow("pricing", variant="short", payload={"x": 1}), FlagRow("agent_debugger_ui", "user", "u1"))
    found = get_flags("u1", "acme")
    assert found["pricing"] == {"enabled": True, "variant": "short", "payload": {"x": 1}, "source": "database"}
    assert found["agent_debugger_ui"]["enabled"] is True
    assert found["track_model_costs"] == {"enabled": True, "variant": None, "payload": None, "source": "default"}
    assert get_flags("u2")["agent_debugger_ui"]["enabled"] is False


def test_without_a_chain_the_users_database_and_posthogs_default_client_are_asked(tmp_path):
    use_chain(None)
    set_flag("beta", True)
    assert (tmp_path / "state" / "genops-otel-posthog" / "flags.sqlite3").exists()
    assert current_chain() is current_chain()


def test_without_a_chain_posthogs_module_is_asked_if_it_has_a_key(receiver, monkeypatch):
    import posthog

    receiver.set_flags([flag("beta")])
    monkeypatch.setattr(posthog, "api_key", "phc_module")
    monkeypatch.setattr(posthog, "host", receiver.url)
    monkeypatch.setattr(posthog, "default_client", None)
    use_chain(None)
    assert is_on("beta", "u1")
    assert [request.token for request in receiver.flag_requests()] == ["phc_module"]
    posthog.shutdown()


def test_without_a_database_a_flag_is_set_in_the_users_own(tmp_path):
    use_chain(FlagChain())
    set_flag("beta", False)
    assert (tmp_path / "state" / "genops-otel-posthog" / "flags.sqlite3").exists()
