import asyncio
from types import SimpleNamespace
from typing import Any

from pushgate.delivery.cursors import MAX_TICKS, TICKS, Cursors
from pushgate.inbox.base import Cursor, Device
from tests.fakes.inbox import FakeCursors

PHONE = Device("acme", "alice", "phone")


def channel(device: Device = PHONE) -> Any:
    return SimpleNamespace(device=device.device, user=SimpleNamespace(tenant=device.tenant, uid=device.uid))


async def tick_through(cursors: Cursors) -> None:
    for _ in range(TICKS):
        cursors.tick()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_noted_is_stored_once_with_the_last_offset() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    for offset in (5, 6, 9):
        cursors.note(channel(), offset, "e")
    assert store.calls == []
    await tick_through(cursors)
    assert store.cursors == {PHONE: Cursor(9, "e", 0)}
    await tick_through(cursors)
    assert store.calls == [("store", 1)]


async def test_what_cannot_be_stored_is_kept_and_does_not_go_back() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    tablet = Device("acme", "alice", "tablet")
    store.away = True
    cursors.note(channel(), 5, "e")
    cursors.note(channel(tablet), 3, "e")
    await tick_through(cursors)
    cursors.note(channel(), 7, "e")
    await tick_through(cursors)
    store.away = False
    await tick_through(cursors)
    assert store.cursors == {PHONE: Cursor(7, "e", 0), tablet: Cursor(3, "e", 0)}


async def test_an_inbox_that_takes_nothing_is_asked_ever_less_often() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    store.away = True
    cursors.note(channel(), 5, "e")
    for _ in range(20 * MAX_TICKS):
        cursors.tick()
        await asyncio.sleep(0)
    assert 20 <= len(store.calls) <= 26, "twice as late each time, then every MAX_TICKS"
    store.away = False
    for _ in range(MAX_TICKS + 1):
        cursors.tick()
        await asyncio.sleep(0)
    assert store.cursors[PHONE].offset == 5
    cursors.note(channel(), 6, "e")
    await tick_through(cursors)
    assert store.cursors[PHONE].offset == 6, "and as often as ever once it takes them"


async def test_the_cursors_of_sessions_that_end_together_are_stored_at_once_in_one_write() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    tablet = Device("acme", "alice", "tablet")
    cursors.note(channel(), 5, "e")
    cursors.note(channel(tablet), 6, "e")
    cursors.release(channel())
    cursors.release(channel(tablet))
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.calls == [("store", 2)]


async def test_a_session_that_ends_during_a_write_is_stored_right_behind_it() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    tablet = Device("acme", "alice", "tablet")
    store.gate.clear()
    cursors.note(channel(), 5, "e")
    cursors.release(channel())
    for _ in range(5):
        await asyncio.sleep(0)
    cursors.note(channel(tablet), 6, "e")
    cursors.release(channel(tablet))
    store.gate.set()
    for _ in range(9):
        await asyncio.sleep(0)
    assert store.calls == [("store", 1), ("store", 1)]
    assert set(store.cursors) == {PHONE, tablet}


async def test_a_tick_in_the_same_turn_as_an_end_begins_no_second_write() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    store.gate.clear()
    cursors.note(channel(), 5, "e")
    cursors.release(channel())
    for _ in range(TICKS):
        cursors.tick()
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.calls == [("store", 1)]
    assert await cursors.load([PHONE]) == [Cursor(5, "e", 0)], "what is on its way is known"
    store.gate.set()
    await cursors.stop(1)
    assert store.cursors[PHONE].offset == 5


async def test_a_session_that_ends_with_nothing_to_store_asks_for_no_write() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    cursors.note(channel(), 5, "e")
    cursors.release(channel(Device("acme", "bob", "phone")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.calls == []


async def test_loading_knows_what_is_not_stored_yet() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    store.cursors[PHONE] = Cursor(4, "e", 77)
    assert await cursors.load([PHONE]) == [Cursor(4, "e", 77)]
    cursors.note(channel(), 9, "e")
    other = Device("acme", "bob", "phone")
    assert await cursors.load([other, PHONE]) == [None, Cursor(9, "e", 77)]
    cursors.note(channel(), 2, "later")
    assert await cursors.load([PHONE]) == [Cursor(2, "later", 77)], "a later epoch counts, whatever the offset"


async def test_stopping_stores_the_rest() -> None:
    store = FakeCursors()
    cursors = Cursors(store)
    cursors.note(channel(), 5, "e")
    await cursors.stop(1)
    assert store.cursors[PHONE].offset == 5
