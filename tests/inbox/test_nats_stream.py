"""Streams on the real server: made once, changed where they differ, and never at the cost of a message."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pushgate.errors import InboxUnavailable
from pushgate.inbox import nats_stream
from pushgate.inbox.base import Limits, Options
from pushgate.inbox.nats_stream import Stream, call_api, cursor_stream, log_limits, log_stream
from pushgate.inbox.nats_subjects import CursorSubjects, Subjects
from pushgate.nats import replies
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from tests.fakes.fake_link import FakeLink, said
from tests.fakes.nats import RealNats

SUBJECTS = Subjects("p", "acme")


def stream(limits: Limits = Limits(0, 10), options: Options = Options()) -> Stream:  # noqa: B008
    return log_stream(SUBJECTS, limits, options)


@asynccontextmanager
async def linked(server: RealNats) -> AsyncIterator[NatsLink]:
    connection = Connection(server.url, "inbox")
    connection.start()
    yield await connection.ready()
    await connection.stop()


async def config_of(link: NatsLink, name: str = SUBJECTS.stream) -> dict[str, Any]:
    config: dict[str, Any] = (await call_api(link, f"STREAM.INFO.{name}"))["config"]
    return config


async def test_many_that_make_it_at_once_agree_on_its_epoch(server: RealNats) -> None:
    async with linked(server) as link:
        streams = [stream() for _ in range(20)]
        await asyncio.gather(*(each.ensure(link) for each in streams))
        epochs = {each.epoch for each in streams}
        assert len(epochs) == 1
        assert len(epochs.pop()) == 8


async def test_it_is_made_as_it_should_be_and_found_unchanged(server: RealNats) -> None:
    async with linked(server) as link:
        first = stream()
        assert await first.ensure(link) == 0
        config = await config_of(link)
        assert config["subjects"] == ["p.inbox.acme", "p.inbox.acme.>"]
        assert config["storage"] == "file"
        assert (config["discard"], config["discard_new_per_subject"]) == ("new", True)
        assert (config["max_msgs_per_subject"], config["max_bytes"]) == (10, -1)
        assert config["duplicate_window"] == 120 * 10**9
        second = stream()
        assert await second.ensure(link) == 1, "there is the marker"
        assert second.epoch == first.epoch
        assert await config_of(link) == config


@pytest.mark.parametrize("limits", [Limits(0, 0), Limits(1_000_000, 10)])
async def test_what_is_as_it_should_be_is_not_changed(
    server: RealNats, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    async with linked(server) as link:
        cursors = cursor_stream(CursorSubjects("p"), Options())
        for each in (stream(limits), cursors):
            await each.ensure(link)
        monkeypatch.setattr(Stream, "_change", None)
        for each in (stream(limits), cursors):
            await each.ensure(link)


async def test_what_differs_is_changed_and_the_epoch_stays(server: RealNats) -> None:
    async with linked(server) as link:
        first = stream()
        await first.ensure(link)
        first.wanted |= log_limits(Limits(5_000_000, 0), Options(duplicate_window=60))
        await first.ensure(link)
        config = await config_of(link)
        assert (config["max_bytes"], config["duplicate_window"]) == (5_000_000, 60 * 10**9)
        assert (config["max_msgs_per_subject"], config.get("discard_new_per_subject", False)) == (-1, False)
        assert config["metadata"]["epoch"] == first.epoch


async def test_one_made_by_hand_gets_an_epoch(server: RealNats) -> None:
    async with linked(server) as link:
        by_hand = stream()
        await call_api(link, f"STREAM.CREATE.{by_hand.name}", by_hand.wanted)
        await by_hand.ensure(link)
        other = stream()
        await other.ensure(link)
        assert by_hand.epoch == other.epoch != ""


async def test_another_epoch_forgets_what_was_known_of_sequences(server: RealNats) -> None:
    async with linked(server) as link:
        one, other = stream(), stream()
        await one.ensure(link)
        one.note_followed(7)
        one.note_stored(9)
        one.note_stored(8)
        assert (one.seen, one.followed) == (9, 7)
        await one.ensure(link)
        assert (one.seen, one.followed) == (9, 7)
        before = one.epoch
        await other.give_epoch(link)
        await one.ensure(link)
        assert one.epoch != before
        assert (one.seen, one.followed) == (0, 0)


async def test_what_the_server_refuses_is_told(server: RealNats) -> None:
    async with linked(server) as link:
        with pytest.raises(InboxUnavailable, match=r"p\+inbox\+acme: insufficient storage"):
            await stream(Limits(10**15, 0)).ensure(link)
        with pytest.raises(InboxUnavailable, match=r"replicas > 1 not supported .*\(inbox\.replicas is 3: "):
            await stream(options=Options(replicas=3)).ensure(link)


async def test_the_age_of_cursors_can_be_changed(server: RealNats) -> None:
    async with linked(server) as link:
        for days in (30, 1, 365):
            cursors = cursor_stream(CursorSubjects("p"), Options(cursor_ttl=days * 86400))
            await cursors.ensure(link)
            assert (await config_of(link, cursors.name))["max_age"] == days * 86400 * 10**9


async def test_a_server_that_is_too_old_is_named() -> None:
    """It takes the settings that it does not know for nothing."""
    old = {"config": {"metadata": {"epoch": "e"}, "max_msgs_per_subject": 10}, "state": {"messages": 1, "last_seq": 1}}
    link = FakeLink(lambda asked: said(json.dumps(old).encode()))
    with pytest.raises(InboxUnavailable, match=r"NATS 2\.12"):
        await stream().ensure(link)  # type: ignore[arg-type]


async def test_a_question_that_nobody_heard_is_asked_again_and_a_command_is_not(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_stream, "REPEAT", 0.05)
    monkeypatch.setattr(replies, "OVERDUE", 2)
    asked: list[bytes] = []

    def answer_third(_subject: bytes, reply: bytes, _headers: bytes, payload: bytes) -> None:
        asked.append(payload)
        if len(asked) == 3:
            link.write((b'PUB %b 8\r\n{"a": 1}\r\n' % reply,))

    async with linked(server) as link:
        link.listen("$JS.API.TEST", answer_third)  # where the server itself has nothing to say
        assert await call_api(link, "TEST", {}, repeat=True) == {"a": 1}
        assert asked == [b""] * 3
        with pytest.raises(InboxUnavailable, match="does not answer"):
            await call_api(link, "TEST")
        assert len(asked) == 4
