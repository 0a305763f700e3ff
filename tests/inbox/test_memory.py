"""The model's time; all else is in tests/contract."""

from pushgate.inbox import EVERYONE, Appended, Device, Draft, Limits, Options
from pushgate.inbox.memory import MemoryInbox
from pushgate.metrics.rows import Rows


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def running(clock: Clock, **options: int) -> MemoryInbox:
    inbox = MemoryInbox("memory:", "", Rows(1).row(0), Options(**options), clock)  # type: ignore[arg-type]
    await inbox.start([], lambda entry: None, lambda tenant: None)
    await inbox.open({"acme": Limits(0, 0)})
    return inbox


async def payloads(inbox: MemoryInbox, uid: str) -> list[bytes]:
    return [entry.payload for entry in await inbox.read("acme", uid, 0, 100)]


async def test_an_entry_is_there_for_its_ttl_and_not_longer() -> None:
    clock = Clock()
    inbox = await running(clock)
    await inbox.append(
        "acme", [Draft("alice", "1", b"1", 10), Draft("alice", "2", b"2", 5), Draft("bob", "1", b"3", 5)]
    )
    clock.now += 4.9
    assert await payloads(inbox, "alice") == [b"1", b"2"]
    clock.now += 0.1
    assert await payloads(inbox, "alice") == [b"1"]
    assert await payloads(inbox, "bob") == []
    clock.now += 5
    assert await payloads(inbox, "alice") == []
    assert await inbox.append("acme", [Draft(EVERYONE, "1", b"4", 5)]) == [Appended(4)]


async def test_an_id_is_known_for_the_window_and_not_longer_also_when_its_entry_has_expired() -> None:
    clock = Clock()
    inbox = await running(clock, duplicate_window=60)
    await inbox.append("acme", [Draft("alice", "1", b"1", 1)])
    clock.now += 59.9
    assert await inbox.append("acme", [Draft("alice", "1", b"1", 1)]) == [Appended(1, duplicate=True)]
    clock.now += 0.1
    assert await inbox.append("acme", [Draft("alice", "1", b"1", 1)]) == [Appended(2)]


async def test_room_is_given_back_by_what_expires_and_by_what_is_collapsed() -> None:
    clock = Clock()
    inbox = await running(clock)
    await inbox.open({"acme": Limits(450, 0)})
    score = [Draft("alice", str(number), bytes(100), 10, "score") for number in range(3)]
    outcomes = [outcome for draft in score for outcome in await inbox.append("acme", [draft])]
    assert outcomes == [Appended(1), Appended(2), Appended(3)]
    assert await inbox.append("acme", [Draft("bob", "1", bytes(150), 5)]) == [Appended(4)]
    (refused,) = await inbox.append("acme", [Draft("bob", "2", b"", 5)])
    assert not isinstance(refused, Appended)
    clock.now += 5
    assert await inbox.append("acme", [Draft("bob", "2", b"", 5)]) == [Appended(5)]


async def test_a_cursor_is_kept_for_its_ttl_from_the_last_time_it_was_stored() -> None:
    clock, phone = Clock(), Device("acme", "alice", "phone")
    inbox = await running(clock, cursor_ttl=100)
    await inbox.store_cursors({phone: (1, "e")})
    clock.now += 99
    await inbox.store_cursors({phone: (1, "e")})
    clock.now += 99
    (cursor,) = await inbox.load_cursors([phone])
    assert cursor is not None
    assert cursor.stored == 1099
    clock.now += 1
    assert await inbox.load_cursors([phone]) == [None]
    assert await inbox.find_cursors("acme", "alice") == {}
