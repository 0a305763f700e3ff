"""The router: takes what the bus brings: writes pushes to the sessions of its worker, and passes on what nodes ask."""

import time
from collections.abc import Callable, Sequence

from pushgate.delivery.fanout import FanOut
from pushgate.delivery.outgoing import Channel, Outgoing, Sessions
from pushgate.messages.push import decode_push
from pushgate.metrics.catalogue import BUS_LAG, PUSH_TO_WRITE
from pushgate.metrics.rows import Row, observe


class Router:
    """Delivers what the bus brings. `receive` is given to the bus, `hear` takes what is no push."""

    def __init__(self, sessions: Sessions, fanout: FanOut, row: Row, hear: Callable[[bytes], None]) -> None:
        self._sessions = sessions
        self._fanout = fanout
        self._row = row
        self._hear = hear

    def receive(self, payload: bytes) -> None:
        """Deliver one push: at once to users, in slices to everyone."""
        try:
            push = decode_push(payload)
        except ValueError:  # an array is a push; what nodes say to each other are maps, and rare
            self._hear(payload)
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
