"""Structured logs: one line a lifecycle event, none a connection or a message; secrets and uids never."""

import logging
import sys
from contextlib import suppress
from typing import Literal, TextIO, cast

import structlog

Level = Literal["debug", "info", "warning", "error"]
LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Stream:
    """Where lines go; one that is gone (a closed pipe, a full disk) must not take the node along."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def set_up(level: Level, style: Literal["auto", "console", "json"]) -> None:
    """Send log lines of `level` and above to standard error; `auto` is `console` on a terminal, else `json`."""
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        if style == "console"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        # One write a line: several processes share the stream.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Stream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING, stream=sys.stderr, force=True)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a part of the product."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger
