"""Sending only to public addresses, for those who let strangers say where alerts go.

A name is looked up once, all its addresses are checked, and the request goes to one that was checked: a name server
that answers differently a moment later changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    import requests


class NotPublic(Exception):
    """The receiver is not on the public Internet."""


def session_for_public_address(url: str) -> tuple[requests.Session, str]:
    """A session that talks to the public address of the host in ``url``, and the URL to give to it.

    Proxies of the environment are not used: what they would connect to cannot be checked here.

    Raises:
        NotPublic: one of the host's addresses is private, loopback, link-local or otherwise not of the public Internet.
        OSError: the name cannot be looked up.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [str(address[0]).partition("%")[0] for *_, address in found]
    if not all(map(is_public, addresses)):
        raise NotPublic("its address is not a public one, and only those are allowed")
    return pinned_session(url, addresses[0])


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public Internet (the registries that ``ipaddress`` lists)."""
    parsed: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        # An IPv4 address in IPv6 clothes: mapped, 6to4 (RFC 3056), Teredo (RFC 4380) or NAT64 (RFC 6052).
        nat64 = ipaddress.IPv4Address(parsed.packed[12:]) if parsed in _NAT64 else None
        teredo = parsed.teredo[1] if parsed.teredo else None
        parsed = parsed.ipv4_mapped or parsed.sixtofour or teredo or nat64 or parsed
    return parsed.is_global and not parsed.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def pinned_session(url: str, address: str) -> tuple[requests.Session, str]:
    """A session that connects to ``address`` and to nothing else, and asks it as the host that ``url`` names."""
    import requests
    from requests.adapters import HTTPAdapter

    parts = urlsplit(url)

    class ToOneAddress(HTTPAdapter):
        """Goes through no proxy, whatever the environment says."""

        def send(self, *args: Any, **keywords: Any) -> requests.Response:
            return super().send(*args, **{**keywords, "proxies": None})

    class ToOneAddressSecurely(ToOneAddress):
        """Checks the certificate for the host's name, though the connection is made by address."""

        def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
            name = parts.hostname or ""
            super().init_poolmanager(*args, assert_hostname=name, server_hostname=name, **keywords)

    credentials, _, name_and_port = parts.netloc.rpartition("@")
    literal = f"[{address}]" if ":" in address else address
    netloc = "@".join(filter(None, (credentials, literal + (f":{parts.port}" if parts.port else ""))))
    session = requests.Session()
    session.headers["Host"] = name_and_port
    session.mount("http://", ToOneAddress())
    session.mount("https://", ToOneAddressSecurely())
    return session, urlunsplit(parts._replace(netloc=netloc))
