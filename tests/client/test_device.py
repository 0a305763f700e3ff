"""A Listener with a device: what it acknowledges and when, where it goes on, and the file of its cursor."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection

from pushgate.client.errors import ListenStopped
from pushgate.client.listener import Listener
from pushgate.client.place import Place, read_place, write_place
from pushgate.errors import ConfigError
from tests.client.test_listener import serving, waits  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("waits")


def welcome(cursor: int, epoch: str = "e", **more: Any) -> dict[str, Any]:
    first = {"type": "welcome", "session": "s", "user": "u", "tenant": "t", "ping": 25, "limits": {"message": 1}}
    return {**first, "cursor": cursor, "epoch": epoch, "missed": False, **more}


def message(offset: int, **more: Any) -> dict[str, Any]:
    return {"type": "message", "id": f"m{offset}", "event": "e", "data": 1, "time": 1, "offset": offset, **more}


class Inbox:
    """A server that says what it is told on one connection after another, waits for an acknowledgement, and closes.

    `asked` has the query of each connection, `acks` what it acknowledged.
    """

    def __init__(self, *steps: tuple[list[dict[str, Any]], int | None, int]) -> None:
        self.steps = list(steps)
        self.asked: list[dict[str, str]] = []
        self.acks: list[list[int]] = []

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request
        query = parse_qs(urlsplit(connection.request.path).query)
        self.asked.append({name: value for name, (value,) in query.items()})
        acks: list[int] = []
        self.acks.append(acks)
        says, awaited, code = self.steps.pop(0)
        for each in says:
            await connection.send(json.dumps(each))
        while awaited is not None and awaited not in acks:
            said = json.loads(await connection.recv())
            assert said.pop("type") == "ack"
            acks.append(said["offset"])
        await connection.close(code)


@asynccontextmanager
async def listening(inbox: Inbox, **options: Any) -> AsyncIterator[Listener]:
    async with serving(inbox) as url:
        yield Listener(url, lambda: "t", device="phone", **options)


async def take_all(listener: Listener) -> list[str]:
    taken: list[str] = []
    try:
        async for each in listener:
            taken.append(each.id)  # noqa: PERF401 - what came before the end counts
    except ListenStopped:
        return taken
    raise AssertionError("it ended without a reason")


async def test_it_acknowledges_what_was_taken_and_goes_on_from_there() -> None:
    inbox = Inbox(
        ([welcome(0), message(3), message(4)], 4, 4000),
        # the acknowledgement of 9 may be lost with the connection: the query says it
        ([welcome(4), message(4, resent=True), message(9)], None, 4000),
        ([welcome(9), message(9, resent=True), message(12)], 12, 4503),
    )
    async with listening(inbox) as listener:
        assert await take_all(listener) == ["m3", "m4", "m9", "m12"]
    assert inbox.asked == [
        {"device": "phone"},
        {"device": "phone", "cursor": "4", "epoch": "e"},
        {"device": "phone", "cursor": "9", "epoch": "e"},
    ]


async def test_many_messages_have_few_acknowledgements() -> None:
    inbox = Inbox(([welcome(0), *(message(offset) for offset in range(1, 501))], 500, 4503))
    async with listening(inbox) as listener:
        assert len(await take_all(listener)) == 500
    (acks,) = inbox.acks
    assert acks == sorted(set(acks))
    assert len(acks) < 100


async def test_a_message_counts_once_the_next_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "cursor"
    inbox = Inbox(([welcome(1), message(2), message(3)], 2, 4503))
    async with listening(inbox, cursor_file=file) as listener:
        messages = aiter(listener)
        assert (await anext(messages)).id == "m2"
        assert read_place(file) == Place(1, "e"), "of the welcome"
        assert (await anext(messages)).id == "m3"
        await messages.aclose()
    assert read_place(file) == Place(2, "e"), "whoever is killed here gets the third again"


async def test_it_can_be_said_without_asking_for_the_next(tmp_path: Path) -> None:
    file = tmp_path / "cursor"
    inbox = Inbox(([welcome(1), message(2)], 2, 4503))
    async with listening(inbox, cursor_file=file) as listener:
        async with aclosing(aiter(listener)) as messages:
            await anext(messages)
            await listener.acknowledge()
        assert read_place(file) == Place(2, "e")


async def test_the_next_program_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "state" / "cursor"
    async with listening(Inbox(([welcome(0), message(7)], 7, 4503)), cursor_file=file) as listener:
        assert await take_all(listener) == ["m7"]
    again = Inbox(([welcome(7), message(7, resent=True), message(8)], 8, 4503))
    async with listening(again, cursor_file=file) as listener:
        assert await take_all(listener) == ["m8"]
    assert again.asked == [{"device": "phone", "cursor": "7", "epoch": "e"}]
    assert read_place(file) == Place(8, "e")


async def test_another_epoch_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "cursor"
    write_place(file, Place(900, "old &+"))
    words: list[str] = []
    inbox = Inbox(([welcome(0, "new", missed=True), message(1), message(2)], 2, 4503))
    async with listening(inbox, cursor_file=file, notice=words.append) as listener:
        assert not listener.missed
        assert await take_all(listener) == ["m1", "m2"]
        assert listener.missed
    assert inbox.asked == [{"device": "phone", "cursor": "900", "epoch": "old &+"}]
    assert read_place(file) == Place(2, "new")
    assert any("gone" in each for each in words)


async def test_a_gateway_that_knows_more_is_believed(tmp_path: Path) -> None:
    file = tmp_path / "cursor"
    write_place(file, Place(3, "e"))
    inbox = Inbox(([welcome(5), message(5), message(6)], 6, 4503))
    async with listening(inbox, cursor_file=file) as listener:
        assert await take_all(listener) == ["m6"]


async def test_what_is_live_owes_nothing() -> None:
    live = message(0)
    del live["offset"]
    inbox = Inbox(([welcome(0), live, live, message(1)], 1, 4503))
    async with listening(inbox) as listener:
        assert await take_all(listener) == ["m0", "m0", "m1"]
    assert inbox.acks == [[1]]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"cursor":"1","epoch":"e"}', b'{"cursor":1', b"\xff"])
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "cursor"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="expected a cursor file"):
        Listener("ws://x", lambda: "t", device="phone", cursor_file=file)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cursor"
    write_place(file, Place(1, "e"))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_place(file, Place(2, "e"))
    assert read_place(file) == Place(1, "e")


async def test_a_place_that_the_caller_keeps() -> None:
    """Kept with what a message led to, it is where a program that died goes on, whatever was acknowledged."""
    inbox = Inbox(([welcome(4), message(6), message(7)], None, 4503), ([welcome(6), message(7)], 7, 4503))
    kept: Place | None = Place(4, "e")
    async with listening(inbox, start=kept, begin="now") as listener:
        async for each in listener:
            kept = listener.place
            assert each.offset == 6
            break  # it dies here
    assert kept == Place(6, "e")
    async with serving(inbox) as url:
        again = Listener(url, lambda: "t", device="phone", start=kept)
        assert await take_all(again) == ["m7"]
    assert [asked.get("cursor") for asked in inbox.asked] == ["4", "6"]
    assert [asked.get("from") for asked in inbox.asked] == ["now", None]


async def test_a_message_whose_handling_failed_is_not_acknowledged_by_the_next_loop() -> None:
    live = {"type": "message", "id": "live", "event": "e", "data": 1, "time": 1}
    inbox = Inbox(
        ([welcome(4), message(6)], None, 4000),
        ([welcome(4), live, message(6, resent=True)], 6, 4503),
    )
    async with listening(inbox) as listener:
        async with aclosing(aiter(listener)) as messages:
            assert (await anext(messages)).offset == 6  # the work with it fails, and the loop ends
        assert await take_all(listener) == ["live", "m6"]
    assert inbox.acks == [[], [6]]
