"""Moving streams from one NATS to another, as they are: with their offsets, ids, times and epochs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec import json

from pushgate.errors import InboxUnavailable
from pushgate.inbox.nats_stream import MISSING, call_api, code_of, moving_subject
from pushgate.log import get_logger
from pushgate.nats.link import NatsLink

CHUNK = 128 * 1024
PATIENCE = 30.0
"""Seconds for each part of a stream, and for what is restored to show."""
PAUSE = 0.1
"""Seconds between two looks."""

_log = get_logger("inbox")


class Move:
    """Moves every stream of `old` to `new`, with so many `replicas` there.

    `lineage` is what the epochs of `old` end with, so that cursors stay good. Who would make one of the streams in
    `new` meanwhile is told to wait, for as long as the link stands, or until the stream is there.
    """

    def __init__(self, old: NatsLink, new: NatsLink, replicas: int, lineage: str) -> None:
        self._old = old
        self._new = new
        self._replicas = replicas
        self._lineage = lineage
        self._claims: dict[str, int] = {}

    async def run(self) -> list[str]:
        """Move what is not there yet; returns the names of streams that stay out: `new` has one that is in use.

        Raises InboxUnavailable; called again it goes on where it was.
        """
        if not self._claims:
            for name in await _names(self._old):
                self._claims[name] = self._new.listen(moving_subject(name), _tell_to_wait(self._new))
        return [name for name in list(self._claims) if not await self._move(name)]

    async def _move(self, name: str) -> bool:
        """Copy one stream; returns whether it is in `new` now."""
        old, new = self._old, self._new
        async with _snapshot(old, name) as (config, state, parts):
            epoch = str(config.get("metadata", {}).get("epoch", ""))
            if not await _make_way(new, name, epoch):
                return False
            if await _epoch(new, name) is None:
                config |= {"num_replicas": self._replicas, "metadata": {"epoch": f"{epoch}{self._lineage}"}}
                asked = {"config": config, "state": state}
                target = str(_checked(await call_api(new, f"STREAM.RESTORE.{name}", asked))["deliver_subject"])
                async for part in parts:
                    await _hand_over(new, target, part)
                await _hand_over(new, target, b"")
                await _wait_for(new, name)
                _log.info("stream moved", stream=name, messages=state["messages"], bytes=state["bytes"])
        new.leave(self._claims.pop(name))
        return True


async def _names(link: NatsLink) -> list[str]:
    names: list[str] = []
    while True:
        page = _checked(await call_api(link, "STREAM.NAMES", {"offset": len(names)}))
        names += page["streams"] or ()
        if len(names) >= page["total"]:
            return sorted(names)


async def _make_way(new: NatsLink, name: str, epoch: str) -> bool:
    """Delete a stream that was made meanwhile and is empty; returns False for one that is used and not the same."""
    found = await _epoch(new, name)
    if found is None or (epoch and found.startswith(epoch)):
        return True
    if await _is_used(new, name):
        return False
    config = _checked(await call_api(new, f"STREAM.INFO.{name}"))["config"]
    # so that nothing comes between the look and the deletion (`sealed` could not be taken back)
    _checked(await call_api(new, f"STREAM.UPDATE.{name}", {**config, "max_msgs": 1, "discard": "new"}))
    if await _is_used(new, name):
        _checked(await call_api(new, f"STREAM.UPDATE.{name}", config))
        return False
    _checked(await call_api(new, f"STREAM.DELETE.{name}"))
    return True


async def _is_used(link: NatsLink, name: str) -> bool:
    """Whether a stream has more than its marker."""
    info = _checked(await call_api(link, f"STREAM.INFO.{name}", {"subjects_filter": ">"}))
    return any(subject != info["config"]["subjects"][0] for subject in info["state"].get("subjects") or ())


async def _epoch(link: NatsLink, name: str) -> str | None:
    """Return the epoch of a stream, None where there is no such stream."""
    info = await call_api(link, f"STREAM.INFO.{name}")
    if code_of(info) == MISSING:
        return None
    return str(_checked(info)["config"].get("metadata", {}).get("epoch", ""))


@asynccontextmanager
async def _snapshot(
    old: NatsLink, name: str
) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any], AsyncIterator[bytes]]]:
    """Have a stream sent: its settings, its state, and its parts as they are asked for."""
    came: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
    subject = f"_INBOX.move.{name}"
    sid = old.listen(subject, lambda _subject, reply, _headers, payload: came.put_nowait((reply, payload)))
    asked = {"deliver_subject": subject, "no_consumers": True, "chunk_size": CHUNK}
    try:
        begun = _checked(await call_api(old, f"STREAM.SNAPSHOT.{name}", asked))
        yield begun["config"], begun["state"], _parts(old, came)
    finally:
        old.leave(sid)


async def _parts(old: NatsLink, came: "asyncio.Queue[tuple[bytes, bytes]]") -> AsyncIterator[bytes]:
    while True:
        try:
            reply, part = await asyncio.wait_for(came.get(), PATIENCE)
        except TimeoutError:
            raise InboxUnavailable("the old server sends no more") from None
        if not part:
            return
        yield part
        if reply:
            old.write((b"PUB %b 0\r\n\r\n" % reply,))


async def _hand_over(new: NatsLink, target: str, part: bytes) -> None:
    """Give a part to the server that restores it, the last one empty; returns when it has it."""
    replies = await new.ask(target, part)
    if not replies and not part:
        return  # it takes its time to read it all: the stream shows when it is done
    if not replies or replies[0].status:
        raise InboxUnavailable(new.reason or "the cluster took no part of a stream")
    if replies[0].payload:
        _checked(json.decode(replies[0].payload))


async def _wait_for(new: NatsLink, name: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while await _epoch(new, name) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise InboxUnavailable(f"stream {name} was restored and does not show")
        await asyncio.sleep(PAUSE)


def _tell_to_wait(link: NatsLink) -> Any:
    def answer(_subject: bytes, reply: bytes, _headers: bytes, _payload: bytes) -> None:
        link.write((b"PUB %b 0\r\n\r\n" % reply,))

    return answer


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise InboxUnavailable(str(answer["error"].get("description")))
    return answer
