"""Refuse every connection that leaves this machine, so that a test run can neither reach PostHog nor wait for it.

An audit hook (https://docs.python.org/3/library/sys.html#sys.addaudithook) sees each connect and each name look-up of
the process, whichever library makes it, and cannot be bypassed by a test that replaces parts of ``socket``. Loopback
and Unix sockets pass.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable

LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", ""}


def is_loopback(host: object) -> bool:
    """True when ``host`` (name or address, text or bytes; ``None`` means this machine) cannot leave this machine."""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if name.lower() in LOOPBACK_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse_egress(error: Callable[[str], Exception] = ConnectionRefusedError) -> None:
    """Raise in whoever connects to, sends to, or looks up anything but loopback. Holds until the process ends.

    Args:
        error: Makes the exception from a message. The default is what an application sees when nobody listens.
    """

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"socket.connect", "socket.sendto"}:
            address = arguments[1]
            host = address[0] if isinstance(address, tuple) else None
        elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
            host = arguments[0]
        else:
            return
        if not is_loopback(host):
            raise error(f"this test run does not leave the machine: {event} to {host!r} was refused")

    sys.addaudithook(hook)
