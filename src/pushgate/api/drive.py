"""Carrying a coroutine on without a Task."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Drive(Generic[T]):
    """Steps a coroutine that has been started from future to future, then calls `done` with its result.

    It costs half of what a Task does, and has half of its abilities: the coroutine cannot be cancelled, has no
    `current_task` (so no `asyncio.timeout`), and must not raise.
    """

    __slots__ = ("_coroutine", "_done")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        future: asyncio.Future[Any] | None,
        done: Callable[[T], None],
    ) -> None:
        self._coroutine = coroutine
        self._done = done
        self._wait(future)

    def _wait(self, future: asyncio.Future[Any] | None) -> None:
        if future is None:  # a bare yield, as of `asyncio.sleep(0)`
            asyncio.get_running_loop().call_soon(self._step)
        else:
            # this is how an awaited future knows that somebody took it on (PEP 3156; Task does the same)
            future._asyncio_future_blocking = False
            future.add_done_callback(self._step)

    def _step(self, _future: object = None) -> None:
        try:
            future = self._coroutine.send(None)
        except StopIteration as stop:
            self._done(stop.value)
        else:
            self._wait(future)
