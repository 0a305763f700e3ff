"""How clients come into a worker: accepted, through TLS and the lobby, and over to the owner of their shard."""

import asyncio
import socket
from collections.abc import Callable

from pushgate.codes import Close
from pushgate.messages.formats import FORMATS
from pushgate.messages.questions import Acknowledge
from pushgate.messages.shard import owner_of, shard_of
from pushgate.metrics.catalogue import REFUSED
from pushgate.node.plan import WorkerPlan
from pushgate.sessions.admission import Admission
from pushgate.sessions.arrival import Arrival, decode_arrival, encode_arrival
from pushgate.sessions.door import Door
from pushgate.sessions.lobby import Lobby
from pushgate.sockets.handoff import HandOffs
from pushgate.sockets.listener import Listener
from pushgate.sockets.poller import Poller
from pushgate.sockets.tls import TlsClients
from pushgate.wire.upgrade import Headers


class Entrance:
    """The way in. `admit(fd, arrival)` is given each connection that belongs here, whichever worker accepted it;
    `acknowledge` those that brought an acknowledgement (see Lobby)."""

    def __init__(
        self,
        plan: WorkerPlan,
        poller: Poller,
        loop: asyncio.AbstractEventLoop,
        admit: Callable[[int, Arrival], None],
        acknowledge: Callable[[int, Acknowledge, Headers], None],
    ) -> None:
        config, row, addresses = plan.config.clients, plan.row, plan.addresses.worker(plan.index)
        self._plan = plan
        self._poller = poller
        self._row = row
        self._admit = admit
        patience, tls = config.handshake_timeout, plan.tls.clients
        admission = Admission(plan.terms, addresses, plan.rows, row)
        self.lobby = Lobby(poller, plan.tenants, plan.terms, admission, config, row, self._deliver, acknowledge)
        self._tls = TlsClients(poller, tls, patience, addresses, row, self.lobby.admit)
        self._door = Door(poller, plan.terms, admission, tls, patience, row, self._let_in)
        self._handoffs = HandOffs(plan.receiving, plan.sending, poller, row, self._take_over, loop.call_later)
        self._listener = Listener(plan.clients, poller, row, self._door.knock, loop.call_later)

    def start(self) -> None:
        """Begin to take what other workers accept."""
        self._handoffs.start()

    def open(self) -> None:
        """Begin, or go on, to accept."""
        self._listener.start()

    def close(self) -> None:
        """Accept nobody any more; who is in its handshake goes on."""
        self._listener.stop()

    def turn_away(self) -> None:
        """Accept nobody any more, and turn away who is in its handshake."""
        self.close()
        self._door.empty()
        self._tls.cut_handshakes()
        self.lobby.empty()

    def stop(self) -> None:
        """Take nothing more from other workers."""
        self._handoffs.stop()

    @property
    def bridged(self) -> bool:
        """Whether clients over TLS are connected here: their sessions may be in other workers."""
        return not self._tls.empty

    def tick(self) -> None:
        """Count one tick of the worker."""
        self._door.tick()
        self._tls.tick()
        self.lobby.tick()

    def _let_in(self, connection: socket.socket, address: bytes) -> None:
        if self._tls.active:
            self._tls.admit(connection, address)
        else:
            self.lobby.admit(connection.detach(), address)

    def _deliver(self, fd: int, arrival: Arrival) -> None:
        """Take a connection that the lobby knows, or pass it to the worker that owns its user's shard."""
        owner = owner_of(shard_of(arrival.tenant, arrival.uid), self._plan.workers)
        if owner == self._plan.index:
            self._admit(fd, arrival)
        elif not self._handoffs.send(owner, fd, encode_arrival(arrival)):
            self._row[REFUSED["overloaded"]] += 1
            self._poller.turn_away(fd, arrival.greeting + FORMATS[arrival.format].close(Close.OVERLOADED))

    def _take_over(self, fd: int, record: bytes) -> None:
        """Take a connection from another worker's lobby."""
        self._admit(fd, decode_arrival(record))
