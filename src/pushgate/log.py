"""Structured logs: one line an event in the life of the node, none a connection or message; no secrets and no uids.

At level debug each request of the API is a line too, and each delivery of what it pushed. What a logger with
`lifecycle` says is in the node's journal too.
"""

import logging
import sys
import traceback
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import structlog

from pushgate.journal import Journal

Level = Literal["debug", "info", "warning", "error"]
LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_NO_FACTS = {"event", "level", "part", "exc_info"}


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


class _Sieve:
    """Has the journal, if there is one, note what happens in the node's life, whatever the level of the log."""

    def __init__(self, level: int, journal: Journal | None) -> None:
        self._level = level
        self._journal = journal

    def __call__(self, _: object, level: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if line.pop("lifecycle", False) and self._journal is not None and LEVELS[level] >= LEVELS["info"]:
            facts = {name: value for name, value in line.items() if name not in _NO_FACTS}
            self._journal.write(level, line["event"], facts)
        if LEVELS[level] < self._level:
            raise structlog.DropEvent
        return line


def set_up(level: Level, style: Literal["auto", "console", "json"], journal: Journal | None = None) -> None:
    """Send log lines of `level` and above to standard error; `auto` is `console` on a terminal, else `json`.

    With a `journal` it gets the lines about the node's life, from level info on.

    What libraries log comes as lines of ours, whatever the level from warnings on: below that they may say anything.
    """
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
            _Sieve(LEVELS[level], journal),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(lambda exc_info: describe(exc_info[1])),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(min(LEVELS[level], LEVELS["info"])),
        # One write a line: several processes share the stream.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Stream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)
    sys.unraisablehook = lambda unraisable: _log_untaken(unraisable.exc_value)


def get_logger(name: str, *, lifecycle: bool = False) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a part of the product.

    With `lifecycle` its lines from info on are events of the node's life, which everybody with a key may read: nothing
    that clients or callers bring about, or that comes once a message, a session or a tenant.
    """
    marks = {"lifecycle": True} if lifecycle else {}
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name, **marks)
    return logger


def bind(**facts: object) -> None:
    """Have every later line of this process, or this task, say these facts too."""
    structlog.contextvars.bind_contextvars(**facts)


def describe(error: BaseException | None) -> str:
    """Return where an exception was raised, and what led to it, without values that may be a client's.

    What a KeyError or a ValueError says is the value that was wrong: a uid, say. So it is left out.
    """
    parts = []
    while error is not None:
        text = "(not shown)" if isinstance(error, KeyError | ValueError) else str(error)
        where = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{where}{type(error).__name__}: {text}")
        if isinstance(error, BaseExceptionGroup):
            parts += [describe(part) for part in error.exceptions]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nafter\n".join(parts)


def log_loop_error(_: object, context: dict[str, Any]) -> None:
    """Log what an event loop could give to nobody: `loop.set_exception_handler` takes this.

    Its words are logged only where no exception comes with them: they may show what a callback was called with.
    """
    error = context.get("exception")
    if error is None:
        get_logger("loop").error(context["message"])
    else:
        _log_untaken(error)


def _log_untaken(error: BaseException | None) -> None:
    get_logger("loop").error("nobody took an exception", exc_info=error)


class _Bridge(logging.Handler):
    """Takes what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as a line of ours."""
        logger = get_logger(record.name)
        log = logger.error if record.levelno >= logging.ERROR else logger.warning
        log(record.getMessage(), exc_info=record.exc_info)
