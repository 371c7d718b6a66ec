"""``genops-posthog ips``: from which addresses PostHog calls, for firewalls and for who doubts a sender."""

from __future__ import annotations

import click

from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.service.egress import POSTHOG_EGRESS_IPS_BY_REGION, egress_networks, is_posthog_egress_ip


@click.command()
@click.option("--region", type=click.Choice(sorted(POSTHOG_EGRESS_IPS_BY_REGION)), help="Of one region only.")
@click.option("--check", "sender", metavar="IP", help="Whether this address is one of them.")
@json_option
def ips(region: str | None, sender: str | None, as_json: bool) -> None:
    """The addresses from which PostHog calls you: webhooks, batch exports, its data warehouse.

    They are for what comes in. What your application sends goes to PostHog's hosts, whose addresses are not fixed.

    Exit codes: 0 ok, 1 the address that was checked is none of them.
    """
    addresses = [str(network).removesuffix("/32").removesuffix("/128") for network in egress_networks(region)]
    is_theirs = None if sender is None else is_posthog_egress_ip(sender, region)
    if as_json:
        print_json({"direction": "PostHog to you", "ips": addresses, "checked": sender, "is_posthog": is_theirs})
    elif sender is None:
        click.echo("\n".join(addresses))
    else:
        click.echo(f"{sender} is {'' if is_theirs else 'not '}an address from which PostHog calls")
    if is_theirs is False:
        raise click.exceptions.Exit(1)
