"""Acknowledgements that come by HTTP: carried to whichever worker of whichever node has the session, and answered."""

import asyncio

from pushgate.delivery.questions import Questions
from pushgate.errors import BusUnavailable, Problem
from pushgate.log import get_logger
from pushgate.messages.questions import Acknowledge, Acknowledged
from pushgate.metrics.catalogue import LOBBY, POSTED_ACKS
from pushgate.metrics.rows import Row
from pushgate.sockets.poller import Poller
from pushgate.wire.upgrade import Headers, encode_answer, encode_head

MAX_WAITING = 256
"""Acknowledgements of one worker that may wait for their answer."""
_REFUSED = {"bad_offset": 400, "no_inbox": 409}
_AGAIN: Headers = (("Retry-After", "1"),)

_log = get_logger("delivery")

Outcome = tuple[int, str, Headers]
"""A status, a line of text, and headers that belong to it."""


class Acknowledging:
    """The acknowledgements that came to one worker."""

    def __init__(self, questions: Questions, poller: Poller, row: Row) -> None:
        self._questions = questions
        self._poller = poller
        self._row = row
        self._waiting: set[asyncio.Task[None]] = set()

    def take(self, fd: int, said: Acknowledge, headers: Headers) -> None:
        """Take a connection, on no poller, that brought an acknowledgement; it is answered with these headers, too."""
        if len(self._waiting) >= MAX_WAITING:
            self._answer(fd, (503, "too many acknowledgements are under way", _AGAIN), headers)
            return
        self._row[LOBBY] += 1
        task = asyncio.get_running_loop().create_task(self._carry(fd, said, headers))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _carry(self, fd: int, said: Acknowledge, headers: Headers) -> None:
        try:
            outcome = await self._ask(said)
        except Exception:
            _log.exception("an acknowledgement met a fault in the gateway")
            outcome = 503, "a fault in the gateway", _AGAIN
        self._row[LOBBY] -= 1
        self._answer(fd, outcome, headers)

    async def _ask(self, said: Acknowledge) -> Outcome:
        try:
            gathered = await self._questions.ask(said, Acknowledged)
        except (BusUnavailable, Problem) as error:
            return 503, str(error), _AGAIN
        for _, reply in gathered.replies:
            if reply.found:
                return (_REFUSED.get(reply.code, 400), f"offset: {reply.reason}", ()) if reply.code else (204, "", ())
        if gathered.missing:
            return 503, f"not found, and there was no answer from {', '.join(gathered.missing)}", _AGAIN
        return 404, "no such session of yours is open: connect again", ()

    def _answer(self, fd: int, outcome: Outcome, headers: Headers) -> None:
        status, text, more = outcome
        self._row[POSTED_ACKS[str(status)]] += 1
        if status == 204:
            answer = encode_head(204, (("Connection", "close"), *headers))
        else:
            answer = encode_answer(status, text, (*more, *headers))
        self._poller.turn_away(fd, answer)
