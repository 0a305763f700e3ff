"""A device that connects to another node replaces its connection here, which as a rule is half open and does not know.

Nodes tell each other of each new session of a device, and clocks of nodes differ. A session that has been here for
SETTLED seconds is the older one, as a rule: it is closed with REPLACED, as on one node, where the other's clock agrees.
Where it does not (it differs, or this worker stood still and hears late) it is told to connect again. When both are
younger, their moments, and then their numbers, decide which one goes: both nodes decide alike, so one stays. It may be
the wrong one, should clocks differ by more than what lies between the two: so the other is told to connect again
(GOING_AWAY), and a client that is there does; by then the one that stayed has settled.

A word that is lost costs a connection that stays although nobody is behind it, until the heartbeat ends it. Nothing is
lost or comes twice to the device by that: what is written to a half-open connection reaches nobody, and is
acknowledged by nobody.
"""

import time
from collections.abc import Callable, Sequence

from pushgate.codes import Close
from pushgate.messages.questions import Took
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.session import ChannelSession

SETTLED = 5
"""Seconds after which a session is older than any that is told of."""


class Replacing:
    """What becomes of the sessions of one worker when their devices are elsewhere. `clock` says seconds since 1970."""

    def __init__(self, sessions: SessionManager, clock: Callable[[], float] = time.time) -> None:
        self._sessions = sessions
        self._clock = clock

    def replace(self, taken: Took) -> None:
        """Close what a session on another node takes the place of."""
        for session in self._of_device(taken):
            since, serial = self._sessions.columns.since[session.fd], self._sessions.serial_of(session.fd)
            if self._clock() - since >= SETTLED:
                self._sessions.close(session, Close.REPLACED if taken.since > since else Close.GOING_AWAY)
            elif (since, serial) < (taken.since, taken.serial):
                self._sessions.close(session, Close.GOING_AWAY)

    def _of_device(self, taken: Took) -> Sequence[ChannelSession]:
        return [each for each in self._sessions.find(taken.tenant, taken.uid) if each.device == taken.device]
