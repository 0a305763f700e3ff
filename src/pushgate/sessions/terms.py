"""The terms on which strangers are let in and heard: limits, origins, trusted proxies. A reload changes them."""

from typing import NamedTuple

from pushgate.config import ClientsConfig, LimitsConfig
from pushgate.sessions.origins import Origins
from pushgate.sessions.proxies import Proxies
from pushgate.sockets.poller import BUFFER, TICK

BURST = 10
"""Seconds of its rate that a client may send at once."""
UNIT = round(1 / TICK)
"""What one message or byte weighs, so that a rate drains as a whole number a tick."""
MOST = 2**32 - 1 - UNIT * BUFFER
"""The highest burst: a column holds it and one read more."""


class Rates(NamedTuple):
    """How fast a client may send. Drains are a tick's and bursts what may be filled at all, in units."""

    message_drain: int
    message_burst: int
    byte_drain: int
    byte_burst: int


class Terms:
    """What the door, the lobby and the readers go by, all the same object, so that `load` changes it for all.

    Everything is to be asked for anew each time. `forwarded` says that trusted proxies name a client in
    X-Forwarded-For, and else they do it by the PROXY protocol.
    """

    def __init__(self, clients: ClientsConfig, limits: LimitsConfig) -> None:
        """Raises ConfigError."""
        self.load(clients, limits)

    def load(self, clients: ClientsConfig, limits: LimitsConfig) -> None:
        """Take on new terms: limits, and what of `clients` is about strangers. Raises ConfigError, changing nothing."""
        origins, proxies = Origins(clients.origins), Proxies(clients.trusted_proxies)
        self.limits = limits
        # One message of the size that is allowed must not be too fast, whatever the rate.
        self.rates = Rates(
            *_rate(limits.messages_per_second), *_rate(limits.bytes_per_second, clients.max_message + BUFFER)
        )
        self.origins = origins
        self.proxies = proxies
        self.forwarded = clients.proxy_header == "x-forwarded-for"


def _rate(a_second: int, least: int = 0) -> tuple[int, int]:
    """Return what drains in a tick, and the burst, of at least so many; 0 a second stands for no limit."""
    if not a_second:
        return MOST, MOST
    return a_second, min(UNIT * max(BURST * a_second, least), MOST)
