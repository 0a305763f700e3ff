"""Which web pages may connect: the origins that browsers name (RFC 6454), and patterns of them."""

import re
from collections.abc import Iterable

from pushgate.errors import ConfigError, UpgradeRefused

_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([0-9]{1,5}))?"
).fullmatch
_ANY_LABELS = "*."
_LONGEST = 300
"""More characters than an origin can have: its host has 253 at the most."""
_USUAL_PORTS = {"http": "80", "https": "443"}


class Origins:
    """The origins that are let in; without any given, all are.

    A pattern is an origin, as in `https://app.example.com:8443`; one with `*.` before its host, which stands for one or
    more labels; or `null`, which browsers send for pages without an origin. Scheme and port are compared exactly.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises ConfigError for what is no such pattern."""
        self._exact: set[tuple[str, str, str]] = set()
        self._below: set[tuple[str, str, str]] = set()
        self._null = False
        for index, pattern in enumerate(patterns):
            if pattern == "null":
                self._null = True
                continue
            wild = f"://{_ANY_LABELS}" in pattern
            parts = _split(pattern.replace(_ANY_LABELS, "", 1) if wild else pattern)
            if parts is None:
                raise ConfigError(
                    f"clients.origins[{index}]: expected an origin as in https://app.example.com or "
                    f"https://*.example.com, without a path, or null, got {pattern!r}"
                )
            (self._below if wild else self._exact).add(parts)

    def check(self, origin: str | None) -> None:
        """Let an Origin header pass, or its absence: what is no browser sends none. Raises UpgradeRefused with 403."""
        if origin is None or not (self._exact or self._below or self._null):
            return
        if not (self._null if origin == "null" else self._is_listed(origin)):
            raise UpgradeRefused(403, "pages of this origin may not connect", cause="origin")

    def _is_listed(self, origin: str) -> bool:
        parts = _split(origin)
        if parts is None:
            return False
        if parts in self._exact:
            return True
        scheme, host, port = parts
        while self._below and host:
            _, _, host = host.partition(".")
            if (scheme, host, port) in self._below:
                return True
        return False


def _split(origin: str) -> tuple[str, str, str] | None:
    """Return scheme, host and port ("" for the scheme's usual one) of an origin; None for what is none."""
    found = _ORIGIN(origin.lower()) if len(origin) <= _LONGEST else None
    if found is None:
        return None
    scheme, host, port = found.groups(default="")
    return scheme, host, "" if port == _USUAL_PORTS.get(scheme) else port
