"""Which addresses only this machine can reach."""

from __future__ import annotations

import ipaddress

LOOPBACK = "127.0.0.1"


def is_loopback(host: str | None) -> bool:
    """Whether ``host``, a name or an address, is this machine and nobody else can connect to it."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
