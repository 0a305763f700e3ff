"""Where a topic's queues are: asked of the name servers, and the topic made where it is not there yet."""

from collections.abc import Collection
from typing import NamedTuple

from msgspec import DecodeError, Struct, json

from pushgate.rocketmq.address import Address, Place, parse_place
from pushgate.rocketmq.link import Request, RocketLink

ROUTE, CREATE = 105, 17
OK, NO_TOPIC = 0, 17
EVERYWHERE = "SELF_TEST_TOPIC"
"""A topic that every broker has: its route tells where they all are."""
QUEUES = 1
"""Queues that a topic made by us has on each broker. One carries far more than a gateway, and each is pulled."""
READABLE, WRITABLE = 4, 2
PATIENCE = 20
"""Ticks that the making of a topic may take."""


class Spot(NamedTuple):
    """What of a topic is on one broker: where the broker and its replicas are (the primary first), how many queues."""

    places: tuple[Place, ...]
    readable: int
    writable: int


Route = dict[str, Spot]
"""The brokers that have a topic, by name."""


class _Queues(Struct, rename="camel"):
    broker_name: str
    read_queue_nums: int
    write_queue_nums: int
    perm: int


class _Broker(Struct, rename="camel"):
    broker_name: str
    broker_addrs: dict[int, str]


class _Route(Struct, rename="camel"):
    queue_datas: list[_Queues] = []
    broker_datas: list[_Broker] = []


_decoder = json.Decoder(_Route)


def parse_route(body: bytes) -> Route:
    """Return the route that a name server tells. Raises ValueError for what is none."""
    try:
        told = _decoder.decode(body)
    except DecodeError as error:
        raise ValueError(f"not a route: {error}") from None
    brokers = {broker.broker_name: broker.broker_addrs for broker in told.broker_datas}
    route = {}
    for queues in told.queue_datas:
        addresses = brokers.get(queues.broker_name, {})
        places = [parse_place(addresses[number]) for number in sorted(addresses)]
        route[queues.broker_name] = Spot(
            tuple(place for place in places if place is not None),
            queues.read_queue_nums if queues.perm & READABLE else 0,
            queues.write_queue_nums if queues.perm & WRITABLE and 0 in addresses else 0,
        )
    return route


class Routes:
    """Asks for one topic's route."""

    def __init__(self, address: Address, topic: str) -> None:
        self._address = address
        self._topic = topic
        self._turn = 0
        self.probe = Request(ROUTE, {"topic": EVERYWHERE, "acceptStandardJsonOnly": True})

    async def open(self, link: RocketLink) -> None:
        """Connect a link to the next name server. Raises OSError or TimeoutError."""
        servers = self._address.name_servers
        self._turn += 1
        await link.open(*servers[self._turn % len(servers)], self._address.tls())

    async def find(self, link: RocketLink, known: Collection[str]) -> Route:
        """Return the topic's route; empty when the name server knows no broker with it.

        Where no broker is known to have the topic it is made on all; and again on a known one that has it no more,
        since its store was wiped. The next call tells these. Raises ConnectionError, also when that is not allowed.
        """
        route = await self._ask(link, self._topic)
        if route and route.keys() >= set(known):
            return route
        for name, spot in (await self._ask(link, EVERYWHERE)).items():
            if name not in route and (name in known or not known) and spot.writable and spot.places:
                await self._make_at(spot.places[0])
        return route

    async def _ask(self, link: RocketLink, topic: str) -> Route:
        answer = await link.ask(Request(ROUTE, {"topic": topic, "acceptStandardJsonOnly": True}))
        if answer is None:
            raise ConnectionError(link.reason)
        if answer.code == NO_TOPIC:
            return {}
        if answer.code != OK:
            raise ConnectionError(f"the name server at {link.server} says {answer.code}: {answer.remark}")
        try:
            return parse_route(answer.body)
        except ValueError as error:
            raise ConnectionError(f"the name server at {link.server} answers what is no route: {error}") from None

    async def _make_at(self, place: Place) -> None:
        link = RocketLink("bus", self.probe, self._address.credentials)
        fields = {
            "topic": self._topic,
            "defaultTopic": "TBW102",
            "readQueueNums": QUEUES,
            "writeQueueNums": QUEUES,
            "perm": READABLE | WRITABLE,
            "topicFilterType": "SINGLE_TAG",
            "topicSysFlag": 0,
            "order": False,
            "attributes": "+message.type=NORMAL",
        }
        try:
            await link.open(*place, self._address.tls())
            answer = await link.ask(Request(CREATE, fields), PATIENCE)
            if answer is None:
                raise ConnectionError(link.reason)
            if answer.code != OK:
                raise ConnectionError(
                    f"there is no topic {self._topic}, and the broker at {link.server} does not let us make it "
                    f"({answer.code}: {answer.remark}): make it with `mqadmin updateTopic -t {self._topic}`"
                )
        finally:
            await link.close()
