"""Addresses: which ones users may have messages sent to.

Takes   URLs, and the IP addresses that their names lead to.
Gives   nothing; whoever gets no error may connect.
Refuses what is not of the public internet: `TargetRefused`. The message says nothing of the network here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from lake.errors import LakeError

URL_MAX_CHARACTERS = 2048

ALLOW_PRIVATE = "TRACELAKE_ALLOW_PRIVATE_TARGETS"

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as hosts without IPv4 see them (RFC 6052); as public as the address inside."""
_SPECIAL = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
"""Inside of the public ones: protocol assignments (Teredo among them), documentation, 6to4."""
_RELAYS = IPv4Address("192.88.99.0"), IPv4Address("192.88.99.255")
"""The former 6to4 relays (RFC 7526)."""
_ENDS_IN_A_NUMBER = re.compile(r"(^|\.)(0[xX][0-9a-fA-F]*|[0-9]+)\.?$")
"""Hosts that some resolvers take for IPv4 addresses, `2130706433` or `0x7f.1`, as the URL standard has it."""
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?|(?=.*:)[0-9A-Fa-f:.]{2,45}")
"""A name by its labels (RFC 1035, 2.3.4; an IPv4 address looks like one), or an IPv6 address."""


class TargetRefused(LakeError):
    """The address may not be reached; trying again cannot help."""


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet, by the registries of special addresses of IANA.

    An IPv4 address that is mapped into IPv6 is not: no resolver of a public name gives one.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(str(IPv4Address(int(address) & 0xFFFFFFFF)))
        return address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL)
    is_relay = _RELAYS[0] <= address <= _RELAYS[1]
    return address.is_global and not address.is_multicast and not address.is_reserved and not is_relay


def check_url(url: str, *, allow_private: bool) -> None:
    """Whether a request may go to a URL, as far as its text tells.

    Args:
        allow_private: whether plain `http` will do, which then is for private addresses only.

    Raises:
        TargetRefused: it is none, or not one of https. The URL is not repeated, it may be a secret.
    """
    schemes = ("https", "http") if allow_private else ("https",)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise TargetRefused(f"the address is no URL: {error}") from None
    if len(url) > URL_MAX_CHARACTERS or not re.fullmatch(r"[!-~]+", url):
        raise TargetRefused(f"the address must be a URL of at most {URL_MAX_CHARACTERS} ASCII characters without spaces")
    if parts.scheme not in schemes:
        raise TargetRefused(f"the address must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if parts.username is not None or parts.password is not None:
        raise TargetRefused("the address must not hold a user name or password")
    if not _HOST.fullmatch(host) or (_ENDS_IN_A_NUMBER.search(host) and not _is_address(host)):
        raise TargetRefused("the address has no host name that can be looked up")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def checked(addresses: Iterable[str], *, is_allowed: Callable[[str], bool]) -> Sequence[str]:
    """The addresses of a name, if all of them may be reached.

    Raises:
        TargetRefused: one of them may not, or there is none. It is not named: who asks shall not learn of the network here.
    """
    found = list(addresses)
    if not found or not all(map(is_allowed, found)):
        raise TargetRefused(f"the address is not one of the public internet; {ALLOW_PRIVATE}=1 allows others")
    return found
