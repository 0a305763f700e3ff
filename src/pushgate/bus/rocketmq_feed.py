"""What business systems produce to a RocketMQ topic: the one that `pushes` in `bus.url` names.

It is another topic than the bus's, since whoever may produce to that speaks as a node: RocketMQ's ACL tells them apart.
"""

from pushgate.bus.base import Feed, Produced
from pushgate.errors import BusUnavailable, ConfigError
from pushgate.log import get_logger
from pushgate.rocketmq.address import Address, parse_url
from pushgate.rocketmq.messages import Message, decode_properties, inflate
from pushgate.rocketmq.topic import Topic

_log = get_logger("feed", lifecycle=True)


class RocketMqFeed:
    """A topic that business systems produce to; see Feed."""

    def __init__(self, address: Address) -> None:
        self._topic = Topic(address, address.pushes, self._pass_on, self._miss)
        self._take: Produced | None = None

    async def start(self, take: Produced) -> None:
        """See Feed. BusUnavailable when stopped meanwhile."""
        self._take = take
        try:
            await self._topic.start()
        except ConnectionError:
            raise BusUnavailable("the feed is stopped") from None

    async def stop(self) -> None:
        """See Feed; prompt even when the server is gone. It may be called again."""
        await self._topic.stop()

    def _pass_on(self, message: Message) -> None:
        assert self._take is not None
        self._take(decode_properties(message.properties), inflate(message))

    def _miss(self) -> None:
        _log.warning("produced pushes may have been missed")


def create(url: str, prefix: str) -> Feed | None:
    """Return the feed of a bus's url, or None where it names no topic for it. Raises ConfigError."""
    address = parse_url(url, "bus.url")
    if address.pushes == (address.topic or prefix):
        raise ConfigError("bus.url: expected another topic than the bus's as pushes")
    return RocketMqFeed(address) if address.pushes else None
