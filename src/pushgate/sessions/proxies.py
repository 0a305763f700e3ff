"""Trusted proxies: whose word is taken for the address of a client, and what it says in X-Forwarded-For."""

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network

from pushgate.errors import ConfigError
from pushgate.wire.address import V4_IN_V6, parse_address

_WHOLE = (1 << 128) - 1


class Proxies:
    """Networks of trusted proxies. Addresses are 16 bytes, with IPv4 mapped into IPv6."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises ConfigError for what is neither an address nor a network."""
        self._networks: list[tuple[int, int]] = []  # mask and what is left under it
        for index, text in enumerate(networks):
            try:
                network = ip_network(text)
            except ValueError as error:
                raise ConfigError(
                    f"clients.trusted_proxies[{index}]: expected an address or a network as in 10.0.0.0/8: {error}"
                ) from None
            first = network.network_address.packed
            if isinstance(network, IPv4Network):
                first = V4_IN_V6 + first
            mask = _WHOLE ^ (int(network.hostmask))
            self._networks.append((mask, int.from_bytes(first, "big")))

    def trust(self, address: bytes) -> bool:
        """Whether an address is a trusted proxy's."""
        if not self._networks:
            return False
        number = int.from_bytes(address, "big")
        return any(number & mask == first for mask, first in self._networks)

    def find_client(self, forwarded: str) -> bytes | None:
        """Return the client's address from an X-Forwarded-For header that a trusted proxy sent.

        It is the last one that is not a trusted proxy's: each proxy adds whom it got the request from, and what stands
        further left may be anybody's invention. None when there is no such, or garbage before it is reached.
        """
        for item in reversed(forwarded.split(",")):
            try:
                address = parse_address(_strip_port(item.strip(" \t")))
            except ValueError:
                return None
            if not self.trust(address):
                return address
        return None


def _strip_port(text: str) -> str:
    """Return an address without the port that some proxies write behind it."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
