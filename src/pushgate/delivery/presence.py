"""Which nodes there are, as far as one worker has heard: each says so once a second."""

from pushgate.messages.questions import Here, Node
from pushgate.sockets.poller import TICK

EVERY = round(1.0 / TICK)
"""Ticks between two words of a node that it is there."""
FORGOTTEN = 10 * EVERY
"""Ticks after which a silent node is taken for gone: more than a worker that died needs to start again."""
REPLACED = 2 * EVERY + 1
"""Ticks after which a silent node has died, when there is a newer one of its name."""
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
        self._now = 0
        self._settled_at = SETTLED
        self._beside = 0  # ticks that we have heard another node of our name

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

    def unsettle(self) -> None:
        """Note that something may have been missed: nodes may be there that were never heard."""
        self._settled_at = self._now + SETTLED

    def hear(self, here: Here) -> None:
        """Take a node's word."""
        node = here.node
        if node == self._own:
            return
        if here.leaving:
            self._heard.pop(node, None)
            return
        self._heard[node] = self._now
        for other, heard in list(self._heard.items()):
            if other.name == node.name and self._now - heard >= REPLACED:
                del self._heard[other]

    def tick(self) -> None:
        """Count one tick, and forget who was silent for too long."""
        self._now += 1
        twins = (self._now - heard for node, heard in self._heard.items() if node.name == self._own.name)
        self._beside = self._beside + 1 if min(twins, default=REPLACED) < REPLACED else 0
        for node, heard in list(self._heard.items()):
            if self._now - heard >= FORGOTTEN:
                del self._heard[node]
