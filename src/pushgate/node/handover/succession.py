"""An upgrade, seen from the new supervisor: it takes over the node of the one that started it."""

import socket
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Self

from pushgate import __version__
from pushgate.errors import StartError
from pushgate.inbox import FollowedTo
from pushgate.log import get_logger
from pushgate.metrics.generations import OtherRows
from pushgate.node.children import Child
from pushgate.node.control import LOST, TAKEN, Said, packets_of
from pushgate.node.handover.heritage import PROTOCOL, Ask, Estate, GiveUp, Link, Lost, Mine, Noted, Ready, Yours
from pushgate.node.handover.taking import Predecessor
from pushgate.node.loop import Loop
from pushgate.node.workers import Workers
from pushgate.sockets.handoff import open_channel

ESTATE_TIMEOUT = 10.0
"""Seconds that the old supervisor has to say what there is to take over."""
REST = 1.0
"""Seconds after the old supervisor's end after which none of its workers is left either."""

_log = get_logger("supervisor", lifecycle=True)


class Succession:
    """Taking over a node: `ask` what there is, then `begin`, and `predecessor_of` each worker that is started.

    `over` tells that it is done: we have everything, or all that is left of it, and the old processes have ended.
    """

    def __init__(self, link: Link) -> None:
        self.over = False
        self._link = link
        self._channels: list[tuple[socket.socket, socket.socket]] = []
        self._taken: set[int] = set()
        self._places: Mapping[str, FollowedTo] = {}
        self._forked = False
        self._alone = False
        self._charged = False
        self._finished = False

    @classmethod
    def inherited(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Return the succession that this process was started for, None where it was not. Raises StartError."""
        link = Link.inherited(environ)
        return cls(link) if link is not None else None

    @property
    def finished(self) -> bool:
        """Whether we are in charge, and our workers have everything."""
        return self._finished

    @property
    def home(self) -> int:
        """The number that the node is addressed by; 0 where it has none."""
        return self._estate.home

    def ask(self) -> Estate:
        """Return what there is to take over. Raises StartError when the old supervisor does not say."""
        try:
            self._link.send(Ask(PROTOCOL, __version__))
            heard = self._link.receive(ESTATE_TIMEOUT)
        except OSError:
            heard = None
        if heard is None:
            raise StartError("the supervisor to take over from does not answer")
        message, files = heard
        if isinstance(message, GiveUp):
            raise StartError(f"the supervisor to take over from gave up: {message.reason}")
        if not isinstance(message, Estate) or len(files) != 5:
            raise StartError("the supervisor to take over from says something else")
        self._estate = message
        self.lock, clients, management, self._rows, self.journal = files
        self._listeners = [socket.socket(fileno=file) for file in (clients, management)]
        return message

    def check_fixed(self, settings: Mapping[str, str]) -> None:
        """Raise StartError when settings differ that only a restart can change."""
        theirs = self._estate.fixed
        differ = [name for name in {**theirs, **settings} if settings.get(name) != theirs.get(name)]
        if differ:
            raise StartError(f"{', '.join(differ)}: changes with a restart only, not with an upgrade")

    def listener(self, port: int, wanted: tuple[str, int], backlog: int) -> socket.socket | None:
        """Return the listening socket for clients (0) or management (1), None when another address is wanted."""
        if tuple(self._estate.ports[port]) != wanted:
            self._listeners[port].close()
            return None
        listener = self._listeners[port]
        listener.setblocking(False)
        listener.listen(backlog)
        return listener

    def old_rows(self, tenants: Mapping[str, int]) -> OtherRows:
        """Return the old one's rows; `tenants` are our numbers of the tenants. Raises StartError."""
        try:
            return OtherRows(self._rows, self._estate.rows, tenants)
        except ValueError as error:
            raise StartError(str(error)) from None

    def begin(
        self,
        workers: Workers,
        rows: tuple[int, bytes],
        loop: Loop,
        take_charge: Callable[[], None],
        finish: Callable[[Yours], None],
        fold: Callable[[], None],
    ) -> None:
        """Listen to the old supervisor, from within the loop.

        `rows` are the file and the description of our own. Called are, in this order: `take_charge` when the node is
        ours, `finish` when the workers have everything, and `fold` when the old processes have ended. What the loop
        then calls may raise StartError: we cannot, or shall not, take over.
        """
        self._workers = workers
        self._own_rows = rows
        self._loop = loop
        self._take_charge = take_charge
        self._finish = finish
        self._fold = fold
        self._yours = Yours()
        self._channels = [open_channel() for _ in workers.children]
        loop.watch(self._link.socket, self._hear)

    def predecessor_of(self, index: int) -> Predecessor | None:
        """Return whom a worker takes over from; nobody when it is started again later."""
        if self._finished or (self._alone and not self._forked):
            return None
        return Predecessor(self._estate.workers, self._channels[index][0], self._places)

    def hear_worker(self, child: Child, said: Said) -> None:
        """Take a word of one of our workers (Leader)."""
        if said.word == TAKEN:
            self._taken.add(child.index)
        self._look()

    def lose_worker(self, child: Child) -> bool:
        """One of our workers has died; returns whether it is to be started again. Raises StartError."""
        if self._finished:
            return True
        raise StartError(f"worker {child.index} of the new generation ended")

    def give_up(self, reason: str) -> None:
        """Tell the old supervisor why we do not take over."""
        if not self._finished:
            self._link.give_up(reason)

    def _hear(self) -> None:
        try:
            heard = self._link.receive()
        except TimeoutError:
            return
        if heard is None:
            self._lose_old()
            return
        message, _ = heard
        match message:
            case Noted() if not self._forked:
                self._places = message.places
                self._fork()
            case Lost():
                self._workers.say(LOST, str(message.worker).encode())
            case Yours():
                self._yours = message
                self._charge()
                self._look()
            case GiveUp():
                raise StartError(f"the supervisor to take over from gave up: {message.reason}")
            case _:
                raise StartError(f"the supervisor to take over from said {type(message).__name__} out of turn")

    def _fork(self) -> None:
        self._workers.start()
        self._forked = True

    def _look(self) -> None:
        """See how far our workers are."""
        workers = self._workers
        if self._finished or workers.ready < len(workers.children):
            return
        if not self._charged and not self._alone and self._channels[0][1].fileno() >= 0:
            self._offer()
        if self._charged and (len(self._taken) == len(workers.children) or not self._forked):
            self._end()

    def _offer(self) -> None:
        """Give the old supervisor the channels to our workers."""
        sending = [channel.fileno() for _, channel in self._channels]
        for _, files in packets_of(sending, *self._own_rows):
            has_rows = files[0] == self._own_rows[0]
            with suppress(OSError):  # it died, and the end of the link says so
                self._link.send(Ready(len(sending), self._own_rows[1] if has_rows else b""), files)
        for _, channel in self._channels:
            channel.close()

    def _charge(self) -> None:
        if not self._charged:
            self._charged = True
            self._take_charge()

    def _end(self) -> None:
        self._finished = True
        for receiving, _ in self._channels:
            receiving.close()
        with suppress(OSError):
            self._link.send(Mine())
        self._finish(self._yours)

    def _lose_old(self) -> None:
        """The old supervisor is gone, and its workers with it: what we do not have yet is lost, and the node ours."""
        self._loop.unwatch(self._link.socket)
        self._link.close()
        self._loop.after(REST, self._rest)
        if self._finished:
            return
        _log.error("the supervisor to take over from died: the node goes on with what is handed over")
        self._alone = True
        if self._forked:
            for index in range(self._estate.workers):
                self._workers.say(LOST, str(index).encode())
        else:
            self._workers.start()
        self._charge()
        self._look()

    def _rest(self) -> None:
        self.over = True
        self._fold()
