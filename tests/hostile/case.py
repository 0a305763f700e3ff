"""What a hostile case is: the bytes, in pieces, and what has to come of them, exactly."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from tests.hostile.received import CLOSE, MARKER, PONG, Received


class Act(Enum):
    """What is done between two pieces of bytes."""

    WELCOMED = "wait for `welcome`"
    END = "end our direction (a half-close)"
    RESET = "reset the connection"


class Urgent(bytes):
    """Sent as TCP's urgent data, which stands outside of the stream."""


WELCOMED, END, RESET = Act
PAUSE = 0.0005
"""Seconds between two pieces that are to be read apart."""
Piece = bytes | float | Act
"""What is sent, waited (seconds) or done."""


@dataclass(frozen=True)
class Answers:
    """HTTP answers with these statuses, in order; then the end, or where it `stays` an answer to one more request."""

    statuses: tuple[int, ...]
    stays: bool = False

    @property
    def probed(self) -> bool:
        return self.stays

    def missed_by(self, got: Received) -> str:
        """Return what is not as it should be; "" when all is."""
        wanted = self.statuses + ((200,) if self.stays else ())
        if got.statuses != wanted or got.leftover:
            return f"expected {wanted}, got {got.statuses} and {got.leftover[:80]!r}"
        return "" if got.ended != self.stays else f"the connection {'ended' if got.ended else 'stays open'}"


@dataclass(frozen=True)
class Closes:
    """A WebSocket that is closed with one of these codes, then ended; `errors` are the codes of errors before that."""

    codes: tuple[int, ...]
    errors: tuple[str, ...] = ()
    probed = False

    def missed_by(self, got: Received) -> str:
        """Return what is not as it should be; "" when all is."""
        if got.statuses != (101,) or not got.frames or got.frames[-1][0] != CLOSE:
            return f"expected close {self.codes}, got {got}"
        if got.close_code not in self.codes or got.errors != self.errors:
            return f"expected close {self.codes} after {self.errors}, got {got.close_code} after {got.errors}"
        return "" if got.ended and not got.leftover else f"not ended behind its close frame: {got.leftover!r}"


@dataclass(frozen=True)
class Lives:
    """A session that lives: it answers a ping. It said `errors` (their codes), and `pong` so often."""

    errors: tuple[str, ...] = ()
    pongs: int = 0
    probed = True

    def missed_by(self, got: Received) -> str:
        """Return what is not as it should be; "" when all is."""
        if got.statuses != (101,) or got.frames[-1:] != [(PONG, MARKER)] or got.ended or got.leftover:
            return f"expected a session that lives, got {got}"
        if (got.errors, got.pongs) != (self.errors, self.pongs):
            return f"expected {self.errors} and {self.pongs} pongs, got {got.errors} and {got.pongs}"
        return "" if got.welcomed else f"no welcome: {got}"


@dataclass(frozen=True)
class LivesOrTooFast:
    """As `Lives`, or closed with 4506: how fast a client may talk is a setting."""

    pongs: int = 0
    probed = True

    def missed_by(self, got: Received) -> str:
        """Return what is not as it should be; "" when all is."""
        return Closes((4506,)).missed_by(got) and Lives((), self.pongs).missed_by(got)


@dataclass(frozen=True)
class Vanishes:
    """The end, without a word: no answer in HTTP but `statuses`, no close frame."""

    statuses: tuple[int, ...] = ()
    probed = False

    def missed_by(self, got: Received) -> str:
        """Return what is not as it should be; "" when all is."""
        closed = any(opcode == CLOSE for opcode, _ in got.frames)
        wrong = got.statuses != self.statuses or closed or got.leftover or not got.ended
        return f"expected the end after {self.statuses}, got {got}" if wrong else ""


@dataclass(frozen=True)
class Streams:
    """A stream of events that is closed with this code; 0: it was welcomed, and ended without a word."""

    code: int
    probed = False

    def missed_by(self, got: Received) -> str:
        """Return what is not as it should be; "" when all is."""
        ends = [json.loads(event.data)["code"] for event in got.events if event.type == "close"]
        welcomed = bool(got.events) and '"welcome"' in got.events[0].data
        expected = [self.code] if self.code else []
        if got.statuses != (200,) or ends != expected or not (welcomed or self.code):
            return f"expected a stream that ends with {self.code}, got {got}"
        return "" if got.ended and not got.leftover else f"not ended behind its last event: {got.leftover!r}"


Outcome = Answers | Streams | Closes | Lives | LivesOrTooFast | Vanishes


class Case(NamedTuple):
    """One hostile visit."""

    name: str
    send: tuple[Piece, ...]
    outcome: Outcome


def answers(*statuses: int, stays: bool = False) -> Answers:
    """Return the outcome of these statuses."""
    return Answers(statuses, stays)


def streams(code: int) -> Streams:
    """Return the outcome of a stream that ends with this code."""
    return Streams(code)


def closes(*codes: int, errors: tuple[str, ...] = ()) -> Closes:
    """Return the outcome of one of these close codes."""
    return Closes(codes, errors)


def dribbled(data: bytes) -> tuple[Piece, ...]:
    """Return bytes to be sent one by one."""
    return tuple(piece for byte in data for piece in (bytes([byte]), PAUSE))
