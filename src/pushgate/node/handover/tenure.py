"""How sessions come to a worker from those of the generation before, and go on to those of the next one."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from pushgate.delivery.holding import Holding
from pushgate.log import get_logger
from pushgate.metrics.generations import OtherRows
from pushgate.node.backbone import Backbone
from pushgate.node.control import Channels, Said
from pushgate.node.handover.giving import Giving
from pushgate.node.handover.taking import Receiver, Taking
from pushgate.node.plan import WorkerPlan
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.lobby import Lobby
from pushgate.sessions.manager import SessionManager
from pushgate.sockets.poller import Poller

_log = get_logger("worker", lifecycle=True)


class Tenure:
    """Who has the sessions of this worker's shards: still a predecessor, this worker, or the next generation by now.

    `receiver` takes in what comes, and is told when all of it is here.
    """

    def __init__(
        self,
        plan: WorkerPlan,
        poller: Poller,
        sessions: SessionManager,
        lobby: Lobby,
        backbone: Backbone,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
    ) -> None:
        self._plan = plan
        self._giving = Giving(plan.index, plan.shards, sessions, lobby, backbone, receiver.admit)
        self._gathering = Channels()
        self._channels: Sequence[socket.socket] = ()
        self._taking: Taking | None = None
        backbone.questions.knows = self._giving.knows
        if plan.predecessor is not None:
            backbone.questions.be_silent()
            router, old = backbone.router, plan.predecessor
            holding = Holding(sessions, router.deliver_held, backbone.fanout.start, plan.shards, old.workers, plan.row)
            self._taking = Taking(old, poller, sessions, router, holding, receiver, loop.call_later)

    @property
    def has_predecessor(self) -> bool:
        """Whether sessions come from a generation before; clients and callers are let in once they are here."""
        return self._taking is not None

    def start(self) -> None:
        """Begin to take over."""
        if self._taking is not None:
            self._taking.start()

    def lose(self, worker: int) -> None:
        """A worker of the generation before died; what it had not given is lost."""
        if self._taking is not None:
            self._taking.lose(worker)

    def hold(self, fd: int, arrival: Arrival) -> bool:
        """Have a connection wait for the sessions of its shard; returns False when they are here."""
        return self._taking is not None and self._taking.hold(fd, arrival)

    def divert(self, fd: int, arrival: Arrival) -> bool:
        """Send a connection to the worker that has its shard now; returns False when that is still this one."""
        return self._giving.divert(fd, arrival)

    def note(self) -> bytes:
        """Note from now on what is delivered; returns what the next generation is to know of it."""
        return self._giving.note()

    def forget(self) -> None:
        """Go on with what is still here: the next generation is no more."""
        self._giving.forget()
        self._plan.rows.successor = None

    def gather(self, said: Said) -> bool:
        """Take channels to the next generation's workers; returns whether all are here, and it is time to `give`."""
        channels = self._gathering.gather(said)
        if channels is None:
            return False
        self._channels, rows = channels, self._gathering.rows
        self._gathering = Channels()
        if rows is not None:
            self._count_with(*rows)
        return True

    def give(self, done: Callable[[], None]) -> None:
        """Hand all sessions over, and then call `done`; see Giving."""
        self._giving.give(self._channels, done)

    async def give_callers(self, connections: Sequence[int]) -> None:
        """Hand connections of callers over."""
        await self._giving.give_callers(connections)

    def _count_with(self, file: int, description: bytes) -> None:
        """Whoever asks this worker from now on is told what the new generation counts, too."""
        try:
            self._plan.rows.successor = OtherRows(file, description, self._plan.tenants.numbers)
        except (OSError, ValueError) as error:
            _log.warning("the new generation's counters cannot be added to ours", reason=str(error))
        finally:
            os.close(file)
