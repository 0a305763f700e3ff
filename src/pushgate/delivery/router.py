"""The router: takes pushes from the bus and writes them to the sessions of its worker."""

import time
from collections.abc import Sequence

from pushgate.delivery.fanout import FanOut
from pushgate.delivery.outgoing import Channel, Outgoing, Sessions
from pushgate.log import get_logger
from pushgate.messages.push import decode_push
from pushgate.metrics.catalogue import BUS_LAG, DROPPED, PUSH_TO_WRITE
from pushgate.metrics.rows import Row, observe

_log = get_logger("delivery")


class Router:
    """Delivers what the bus brings. `receive` is given to the bus."""

    def __init__(self, sessions: Sessions, fanout: FanOut, row: Row) -> None:
        self._sessions = sessions
        self._fanout = fanout
        self._row = row

    def receive(self, payload: bytes) -> None:
        """Deliver one push: at once to users, in slices to everyone."""
        try:
            push = decode_push(payload)
        except ValueError as error:
            self._row[DROPPED["undecodable"]] += 1
            _log.error("the bus brought something that is no push", error=str(error))
            return
        observe(self._row, BUS_LAG, time.time() - push.time / 1000)
        if push.uids is None:
            self._fanout.start(Outgoing(push))
            return
        outgoing = None
        for uid in push.uids:
            channels = self._sessions.find(push.tenant, uid)
            if channels:
                if outgoing is None:
                    outgoing = Outgoing(push)
                self._deliver(outgoing, channels)
        if outgoing is not None:
            observe(self._row, PUSH_TO_WRITE, time.time() - push.time / 1000)

    def _deliver(self, outgoing: Outgoing, channels: Sequence[Channel]) -> None:
        frames = outgoing.frames
        write = self._sessions.write_live
        delivered = sent = 0
        for channel in channels:
            if outgoing.narrowed and not outgoing.matches(channel, self._sessions):
                continue
            if self._fanout.busy:
                self._fanout.catch_up(channel)
            frame = frames[channel.format] or outgoing.fill(channel.format)
            if write(channel.fd, frame):
                delivered += 1
                sent += len(frame)
        if delivered:
            self._sessions.count_written(outgoing.push.tenant, delivered, sent)
