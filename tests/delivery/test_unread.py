"""Messages that end unread are counted, and those that were read are not."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pushgate.delivery import unread
from pushgate.delivery.unread import Unread
from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Cursor
from pushgate.messages.push import Push
from pushgate.metrics.catalogue import EXPIRED_UNREAD
from pushgate.metrics.rows import Rows


class World:
    """Devices that are connected or away, with what each has acknowledged."""

    def __init__(self) -> None:
        self.row = Rows(1).row(0)
        self.connected: dict[str, list[Any]] = {}
        self.cursors: dict[str, dict[str, Cursor]] = {}
        self.asked = 0
        self.away = False
        self.tasks: list[asyncio.Task[None]] = []
        sessions: Any = self
        self.unread = Unread(
            sessions,
            self,
            lambda channel: (0, channel.acknowledged),  # type: ignore[attr-defined]
            lambda coroutine: self.tasks.append(asyncio.ensure_future(coroutine)),
            self.row,
        )

    def find(self, tenant: str, uid: str) -> list[Any]:
        return self.connected.get(uid, [])

    def epoch(self, tenant: str) -> str:
        return "one"

    async def find_cursors(self, tenant: str, uid: str) -> dict[str, Cursor]:
        self.asked += 1
        if self.away:
            raise InboxUnavailable("away")
        return self.cursors.get(uid, {})

    async def pass_seconds(self, seconds: int) -> int:
        """Let time go by; returns what was counted so far."""
        for _ in range(seconds * unread.TICKS):
            self.unread.tick()
            await asyncio.gather(*self.tasks)
            self.tasks.clear()
        return self.row[EXPIRED_UNREAD]


def device(acknowledged: int, name: str | None = "phone") -> SimpleNamespace:
    return SimpleNamespace(device=name, acknowledged=acknowledged)


def push(ttl: int = 10, **more: Any) -> Push:
    return Push("acme", ["alice"], "id", "e", 0, b"1", qos="reliable", ttl=ttl, **more)


async def test_a_message_that_a_connected_device_lacks_is_counted_once_when_it_ends() -> None:
    world = World()
    world.connected = {"alice": [device(5), device(4), device(4, "tablet")], "bob": [device(9), device(0, None)]}
    world.unread.note(push(), "alice", 5)
    world.unread.note(push(), "bob", 6)
    assert await world.pass_seconds(9) == 0
    assert await world.pass_seconds(1) == 1
    assert await world.pass_seconds(60) == 1
    assert not world.asked


async def test_the_cursors_of_a_user_who_is_away_tell() -> None:
    world = World()
    world.cursors = {
        "alice": {"phone": Cursor(4, "one", 0), "tablet": Cursor(9, "one", 0)},
        "bob": {"phone": Cursor(6, "one", 0)},
        "carol": {"phone": Cursor(0, "another", 0)},
    }
    for offset, uid in enumerate(("alice", "bob", "carol", "dave"), 5):
        world.unread.note(push(), uid, offset)
    assert await world.pass_seconds(10) == 1
    assert world.asked == 4


async def test_what_is_not_for_every_device_is_not_judged() -> None:
    world = World()
    world.connected = {"alice": [device(0)]}
    for more in ({"device": "tablet"}, {"tags": ["x"]}, {"except_session": "1"}, {"collapse": "key"}):
        world.unread.note(push(**more), "alice", 5)
    assert await world.pass_seconds(20) == 0


async def test_work_and_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "KEPT", 3000)
    world = World()
    world.cursors = {"alice": {"phone": Cursor(0, "one", 0)}}
    for offset in range(1, 5000):
        world.unread.note(push(ttl=1), "alice", offset)
    counted = await world.pass_seconds(2)
    assert counted == world.asked == unread.LOOKUPS * 5
    assert await world.pass_seconds(100) < 3000
    world.unread.note(push(ttl=1), "alice", 5)
    world.away = True
    before = world.row[EXPIRED_UNREAD]
    assert await world.pass_seconds(5) == before, "an inbox that is away tells nothing"


async def test_what_was_remembered_of_other_logs_is_forgotten() -> None:
    world = World()
    world.connected = {"alice": [device(0)]}
    world.unread.note(push(), "alice", 5)
    world.unread.forget("acme")
    world.unread.note(push(ttl=20), "alice", 1)
    assert await world.pass_seconds(15) == 0
    assert await world.pass_seconds(5) == 1
