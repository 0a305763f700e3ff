"""Addresses as 16 bytes: IPv6, or IPv4 mapped into it (RFC 4291 section 2.5.5.2), so that one address is one value."""

from ipaddress import IPv4Address, IPv6Address

V4_IN_V6 = bytes(10) + b"\xff\xff"
"""What an IPv4 address begins with."""


def parse_address(text: str) -> bytes:
    """Return the 16 bytes of an address that somebody wrote; raises ValueError for what is none."""
    if ":" in text:
        return IPv6Address(text).packed
    return V4_IN_V6 + IPv4Address(text).packed
