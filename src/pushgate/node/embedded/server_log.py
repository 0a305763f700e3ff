"""What the embedded server says in `nats.log`."""

import os
import re
from contextlib import suppress
from pathlib import Path

LOG_END = 8192
"""Bytes of it that are looked at."""
NOT_THERE = "Error trying to connect to route"
STRANGER = "another server has another cluster.secret"
ROUTE_TROUBLE = re.compile(
    rf"\[ERR\] .*?({NOT_THERE} .*|route error .*|authentication error.*|tls route .*|remote server has a duplicate .*)",
    re.IGNORECASE,
)
"""What it says of a connection that failed, without the connection's number."""


def route_trouble(home: Path) -> str:
    """Return what was said last of another server that refused this one, or was refused; else of one that was not
    there. Nothing where neither was said."""
    told = [found[1] for line in _last_lines(home) if (found := ROUTE_TROUBLE.search(line))]
    refused = [words for words in told if not words.startswith(NOT_THERE)]
    words = (refused or told or [""])[-1]
    return STRANGER if "authentication" in words or "Authorization" in words else words


def last_words(home: Path) -> str:
    """Return its last lines, for people."""
    return "\n".join(_last_lines(home)[-5:]) or "(no log)"


def _last_lines(home: Path) -> list[str]:
    with suppress(OSError), (home / "nats.log").open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_END))
        return log.read().decode(errors="replace").splitlines()
    return []
