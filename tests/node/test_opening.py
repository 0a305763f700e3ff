import asyncio
from collections.abc import Mapping

from pushgate.errors import InboxUnavailable
from pushgate.inbox import Limits
from pushgate.node.opening import Opening
from tests.fakes.subscriber import until

OLD, NEW = {"acme": Limits(1000, 0)}, {"acme": Limits(2000, 0)}


class Opener:
    """Opens when it is let, and says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Limits]] = []
        self.away = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def open(self, tenants: Mapping[str, Limits]) -> None:
        self.asked.append(tenants)
        await self.gate.wait()
        if self.away:
            raise InboxUnavailable("away")


async def test_it_tries_until_the_inbox_is_there() -> None:
    opener = Opener()
    opening = Opening(opener.open)
    assert opening.trouble
    task = asyncio.create_task(opening.want(OLD))
    await until(lambda: opening.trouble == "away")
    opener.away = False
    await task
    assert opening.trouble == ""
    assert opener.asked == [OLD, OLD]


async def test_an_older_wish_never_has_the_last_word() -> None:
    opener = Opener()
    opening = Opening(opener.open)
    older = asyncio.create_task(opening.want(OLD))
    await until(lambda: opening.trouble == "away")
    newer = asyncio.create_task(opening.want(NEW))
    opener.away = False
    await asyncio.gather(older, newer)
    assert opener.asked == [OLD, NEW]


async def test_an_attempt_under_way_ends_before_the_next_begins() -> None:
    opener = Opener()
    opener.away = False
    opener.gate.clear()
    opening = Opening(opener.open)
    older = asyncio.create_task(opening.want(OLD))
    await until(lambda: opener.asked == [OLD])
    newer = asyncio.create_task(opening.want(NEW))
    await asyncio.sleep(0)
    assert opener.asked == [OLD]
    opener.gate.set()
    await asyncio.gather(older, newer)
    assert opener.asked == [OLD, NEW]
