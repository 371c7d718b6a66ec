"""``genops-posthog flags``: what the database says of flags, changing it, and what the whole chain answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import click

from genops_otel_posthog.cli.output import console, json_option, print_json, table
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags.answer import Answer, Subject
from genops_otel_posthog.flags.chain import FlagChain
from genops_otel_posthog.flags.database import FlagStore, open_flag_store
from genops_otel_posthog.flags.row import FlagRow, Scope, Variant
from genops_otel_posthog.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PATIENCE_SECONDS = 5.0  # a person waits longer than a request may


def _database_option(command: _Command) -> _Command:
    return click.option(
        "--database",
        "url",
        metavar="URL",
        help="Where flags are kept, such as postgresql://host/shop.  [default: GENOPS_FLAGS_DATABASE_URL, else the "
        "user's SQLite file]",
    )(command)


def _whom_options(command: _Command) -> _Command:
    command = click.option("--workspace", metavar="ID", help="The workspace.")(command)
    return click.option("--user", metavar="ID", help="The user, by distinct id.")(command)


@contextmanager
def _opened(url: str | None) -> Iterator[FlagStore]:
    store = open_flag_store(url or Settings.from_environ().flags_database_url)
    try:
        yield store
    finally:
        store.close()


@click.group()
def flags() -> None:
    """Feature flags beside PostHog: in force when PostHog does not know or does not answer."""


@flags.command()
@click.argument("key")
@_whom_options
@click.option("--posthog", "ask_posthog", is_flag=True, help="Ask PostHog first: one billed flag request.")
@_database_option
@json_option
def get(key: str, user: str | None, workspace: str | None, ask_posthog: bool, url: str | None, as_json: bool) -> None:
    """What a flag is for a user, for a workspace or for everybody.

    Exit codes: 0 it is known, 1 nobody knows it.
    """
    with _opened(url) as store:
        client = _client() if ask_posthog else None
        try:
            chain = FlagChain(client, store, deadline=_PATIENCE_SECONDS, recorders=())
            answer = chain.answer(key, Subject(user=user, workspace=workspace))
        finally:
            if client is not None:
                client.shutdown()
    if as_json:
        print_json({**answer._asdict(), "value": answer.value, "known": answer.is_known})
    else:
        click.echo(_sentence(answer))
    if not answer.is_known:
        raise click.exceptions.Exit(1)


@flags.command("set")
@click.argument("key")
@_whom_options
@click.option("--on/--off", "enabled", required=True, help="Whether it is on.")
@click.option("--variant", metavar="NAME", help="The variant that all of them get.")
@click.option("--split", metavar="NAME=PERCENT,…", callback=lambda *given: _split(given[2]), help="Variants, by share.")
@click.option("--payload", metavar="JSON", callback=lambda *given: _json(given[2]), help="What comes with the value.")
@click.option(
    "--rollout", metavar="PERCENT", type=click.FloatRange(0, 100), default=100.0, help="For how many of them."
)
@_database_option
@json_option
def set_flag(
    key: str, user: str | None, workspace: str | None, enabled: bool, variant: str | None, split: tuple[Variant, ...],
    payload: Any, rollout: float, url: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Sets a flag in the database.

    It is set for a user, for a workspace or, with neither, for everybody.

    \b
      genops-posthog flags set new-checkout --off
      genops-posthog flags set new-checkout --on --rollout 10
      genops-posthog flags set pricing-page --on --split control=50,test=50
      genops-posthog flags set new-checkout --on --workspace acme
    """
    scope, scope_id = _scope(user, workspace)
    row = FlagRow(
        key, scope, scope_id, enabled=enabled, variant=variant, variants=split, payload=payload, rollout_pct=rollout
    )
    with _opened(url) as store:
        stored = store.put(row)
    if as_json:
        print_json(_document(stored))
    else:
        click.echo(f"{key} is now {_setting(stored)} for {_whom(stored)} (version {stored.version}).")


@flags.command()
@click.argument("key")
@_whom_options
@_database_option
@json_option
def unset(key: str, user: str | None, workspace: str | None, url: str | None, as_json: bool) -> None:
    """Removes a setting.

    Wider settings, or the coded default, hold again.

    Exit codes: 0 it is removed, 1 nothing was set.
    """
    scope, scope_id = _scope(user, workspace)
    with _opened(url) as store:
        was_there = store.remove(key, scope, scope_id)
    if as_json:
        print_json({"flag_key": key, "scope": scope, "scope_id": scope_id, "removed": was_there})
    else:
        whom = _whom(FlagRow(key, scope, scope_id))
        click.echo(f"{key} is no longer set for {whom}." if was_there else f"{key} was not set for {whom}.")
    if not was_there:
        raise click.exceptions.Exit(1)


@flags.command("list")
@click.argument("key", required=False)
@_database_option
@json_option
def list_flags(key: str | None, url: str | None, as_json: bool) -> None:
    """Every setting in the database, or those of one flag."""
    with _opened(url) as store:
        rows = [row for row in store.rows() if key is None or row.flag_key == key]
    if as_json:
        print_json({"flags": [_document(row) for row in rows]})
        return
    if not rows:
        click.echo("Nothing is set." if key is None else f"Nothing is set for {key}.")
        return
    shown = table("flag", "for", "setting", "version", "changed (UTC)")
    for row in rows:
        changed = f"{row.updated_at:%Y-%m-%d %H:%M}" if row.updated_at else ""
        shown.add_row(row.flag_key, _whom(row), _setting(row), str(row.version), changed)
    console().print(shown)


def _client() -> Any:
    settings = Settings.from_environ()
    if settings.api_key is None:
        raise GenOpsConfigurationError(
            "--posthog asks PostHog, which needs the project's key: set POSTHOG_API_KEY=phc_…"
        )
    try:
        from posthog import Posthog
    except ModuleNotFoundError as error:
        if error.name != "posthog":
            raise
        raise GenOpsConfigurationError(
            "--posthog needs the PostHog SDK: pip install 'genops-otel-posthog[instruments]'"
        ) from error
    return Posthog(settings.api_key, host=settings.host)


def _scope(user: str | None, workspace: str | None) -> tuple[Scope, str]:
    if user and workspace:
        raise click.UsageError("a setting is for a user or for a workspace; give one of --user and --workspace")
    if user:
        return "user", user
    return ("workspace", workspace) if workspace else ("global", "")


def _split(text: str | None) -> tuple[Variant, ...]:
    if text is None:
        return ()
    variants = []
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        try:
            variants.append(Variant(name.strip(), float(share.strip().removesuffix("%"))))
        except ValueError as error:
            raise click.BadParameter(f"{part.strip()!r} is not like control=50") from error
    return tuple(variants)


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"this is no JSON: {error}") from error


def _document(row: FlagRow) -> dict[str, Any]:
    return {**asdict(row), "variants": [asdict(variant) for variant in row.variants]}


def _whom(row: FlagRow) -> str:
    return "everybody" if row.scope == "global" else f"{row.scope} {row.scope_id}"


def _setting(row: FlagRow) -> str:
    if not row.enabled:
        return "off"
    value = f"on as {row.variant}" if row.variant else "on"
    if row.variants:
        value = "on, " + " / ".join(f"{each.key} {each.rollout_percentage:g} %" for each in row.variants)
    return value if row.rollout_pct >= 100 else f"{value}, for {row.rollout_pct:g} %"


def _sentence(answer: Answer) -> str:
    value = f"on, variant {answer.variant}" if answer.variant else "on" if answer.enabled else "off"
    if answer.payload is not None:
        value += f", with {json.dumps(answer.payload)}"
    if not answer.is_known:
        return f"{answer.key}: unknown ({answer.error or 'there is no such setting'}); the coded default holds"
    source = answer.source.replace("_", " ")
    return f"{answer.key}: {value}, says {source}" + (f" ({answer.detail})" if answer.detail else "")
