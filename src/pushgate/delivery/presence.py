"""Which nodes there are, as far as one worker has heard: each says so once a second."""

from collections.abc import Set

from pushgate.messages.questions import Here, Node
from pushgate.sockets.poller import TICK

EVERY = round(1.0 / TICK)
"""Ticks between two words of a node that it is there."""
FORGOTTEN = 10 * EVERY
"""Ticks after which a silent node is taken for gone: more than a worker that died needs to start again."""
REPLACED = 2 * EVERY + 1
"""Ticks after which a silent node has died, when there is a newer one of its name."""
PARTING = 2 * EVERY
"""Ticks that a home counts after its node was forgotten: its next generation may be about to say that it has it."""
TWIN = 5 * EVERY
"""Ticks that another node of our name has to speak beside us: in a hand-over one follows the other."""
SETTLED = EVERY + EVERY // 2
"""Ticks until every node that there is has been heard."""


class Presence:
    """The nodes that were heard of lately, beside our own.

    Time is counted in ticks that really ran while the bus was there: a worker that was stopped, or cut off, has
    forgotten nobody when it comes back.
    """

    def __init__(self, own: Node) -> None:
        self._own = own
        self._heard: dict[Node, int] = {}
        self._own_heard = 0
        self._homes: dict[Node, int] = {}
        self._parting: dict[int, int] = {}  # homes of nodes that are gone, and until when they count
        self._now = 0
        self._settled_at = SETTLED
        self._beside = 0  # ticks that we have heard another node of our name
        self.homes: Set[int] | None = None
        """The homes of all nodes; None while one of them, our own too, is not in the directory with all its users."""

    @property
    def nodes(self) -> set[Node]:
        """The nodes, our own among them."""
        return {self._own, *self._heard}

    @property
    def settled(self) -> bool:
        """Whether these are all, rather than those that had the time to say so."""
        return self._now >= self._settled_at

    @property
    def twin(self) -> bool:
        """Whether another node of our own name runs, which is a mistake in somebody's settings."""
        return self._beside >= TWIN

    @property
    def own_silence(self) -> int:
        """Ticks since our own node was heard to be there."""
        return self._now - self._own_heard

    @property
    def announced(self) -> bool:
        """Whether our own node was heard, so that the others know of it."""
        return self._own in self._homes

    def unsettle(self) -> None:
        """Note that something may have been missed: nodes may be there that were never heard."""
        self._settled_at = self._now + SETTLED

    def hear(self, here: Here) -> None:
        """Take a node's word."""
        node = here.node
        if node == self._own:
            if not here.leaving:
                self._own_heard = self._now
                self._note_home(node, here.home)
            return
        if here.leaving:
            self._forget(node)
            return
        self._heard[node] = self._now
        self._note_home(node, here.home)
        for other, heard in list(self._heard.items()):
            if other.name == node.name and self._now - heard >= REPLACED:
                self._forget(other)

    def tick(self) -> None:
        """Count one tick, and forget who was silent for too long."""
        self._now += 1
        twins = (self._now - heard for node, heard in self._heard.items() if node.name == self._own.name)
        self._beside = self._beside + 1 if min(twins, default=REPLACED) < REPLACED else 0
        for node, heard in list(self._heard.items()):
            if self._now - heard >= FORGOTTEN:
                self._forget(node)
        for home, until in list(self._parting.items()):
            if self._now >= until:
                del self._parting[home]
                self._gather_homes()

    def _forget(self, node: Node) -> None:
        if self._heard.pop(node, None) is not None:
            self._parting[self._homes.pop(node)] = self._now + PARTING
            self._gather_homes()

    def _note_home(self, node: Node, home: int) -> None:
        if self._homes.get(node) != home:
            self._homes[node] = home
            self._gather_homes()

    def _gather_homes(self) -> None:
        homes = frozenset(self._homes.values())
        self.homes = homes.union(self._parting) if self.announced and 0 not in homes else None
