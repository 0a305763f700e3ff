"""What every backend counts of what it does."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Appended, Outcome, Refused
from pushgate.metrics.catalogue import INBOX_APPEND_TIME, INBOX_APPENDS, INBOX_FAILURES
from pushgate.metrics.metric import Histogram
from pushgate.metrics.rows import Row, observe


def count_appends(row: Row, outcomes: Sequence[Outcome], began: float) -> None:
    """Count what became of the entries of a call, and how long it took since `began` (the loop's clock)."""
    for outcome in outcomes:
        row[INBOX_APPENDS[_result(outcome)]] += 1
    observe(row, INBOX_APPEND_TIME, asyncio.get_running_loop().time() - began)


@contextmanager
def measured(row: Row, kind: str, histogram: Histogram) -> Iterator[None]:
    """Measure what is done within, or count that it failed."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        yield
    except InboxUnavailable:
        row[INBOX_FAILURES[kind]] += 1
        raise
    observe(row, histogram, clock() - began)


def _result(outcome: Outcome) -> str:
    """Return what the metric calls an outcome."""
    if isinstance(outcome, Appended):
        return "duplicate" if outcome.duplicate else "appended"
    return outcome.code if isinstance(outcome, Refused) else "unknown"
