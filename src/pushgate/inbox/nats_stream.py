"""A stream: made where it is missing, changed where its settings differ, and what is known of it."""

import asyncio
from contextlib import suppress
from secrets import token_hex
from typing import Any

from msgspec import json

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Limits, Options, Usage
from pushgate.inbox.nats_subjects import CursorSubjects, Subjects
from pushgate.log import get_logger
from pushgate.nats.link import NatsLink

EXISTS = 10058
MISSING = 10059
TOO_SMALL = {10005, 10074}
"""Errors for more copies than there are servers with JetStream."""
SILENCE = 3.0
"""Seconds after which a copy that its leader has not heard of does not count: it says something each second."""
PAGE = 100_000
"""Subjects that the server tells at once."""
REPEAT = 1.0
"""Seconds after which a question is asked again: nobody hears it while the leader is being elected who is to answer."""

_log = get_logger("inbox")


class Stream:
    """One stream, as it should be. `root` is the subject of its marker: the one message without a log, which never
    expires, so that the answer to any look at the stream says how far it goes."""

    def __init__(self, name: str, root: str, wanted: dict[str, Any]) -> None:
        self.name = name
        self.root = root
        self.wanted = {"name": name, "subjects": [root, f"{root}.>"], **_COMMON, **wanted}
        self.epoch = ""
        self.replicated = int(self.wanted["num_replicas"]) > 1
        self.seen = 0
        """The highest sequence that this process knows of: from what was stored, and what was followed."""
        self.followed = 0
        """Up to where this process has followed the stream, as far as its filters go."""
        self.waits = False
        """Whether a lower limit has to wait."""
        self._reviving: asyncio.Task[None] | None = None

    async def ensure(self, link: NatsLink) -> int:
        """Make the stream, or change what differs; returns its last sequence. `epoch` is right from then on.

        Raises InboxUnavailable.
        """
        info = await self._call(link, "STREAM.INFO")
        if code_of(info) == MISSING:
            await self._wait_for_mover(link)
            made = await self._call(link, "STREAM.CREATE", {**self.wanted, "metadata": {"epoch": token_hex(4)}})
            if code_of(made) == EXISTS:  # another worker was faster
                made = await self._call(link, "STREAM.INFO")
            info = self._checked(made)
            _log.info("stream made", stream=self.name)
        config = self._checked(info)["config"]
        # copies are never taken away: nodes that start with another setting, one after the other, would go to and fro
        self.wanted["num_replicas"] = copies = max(self.wanted["num_replicas"], config.get("num_replicas", 1))
        self.replicated = copies > 1
        if any(config.get(key, False) != value for key, value in self.wanted.items()):  # what is false is left out
            config = await self._change(link, config)
        if not config.get("allow_atomic"):
            raise InboxUnavailable(f"stream {self.name}: NATS 2.12 or newer is needed")
        if "epoch" not in config.get("metadata", {}):  # made by hand
            config = await self.give_epoch(link)
        epoch = config["metadata"]["epoch"]
        if epoch != self.epoch:
            self.epoch = epoch
            self.forget_sequences()
        if info["state"]["messages"] == 0:
            await self.mark(link)
        return int(info["state"]["last_seq"])

    async def confirmed(self, link: NatsLink) -> int:
        """Return the last sequence as the leader has it, while it has most of the others with it. Raises
        InboxUnavailable where there is no such leader."""
        info = self._checked(await self._call(link, "STREAM.INFO"))
        copies = info.get("cluster") or {}
        others = copies.get("replicas") or ()
        silent = sum(other.get("offline", False) or other["active"] > SILENCE * 10**9 for other in others)
        if not copies.get("leader") or 2 * silent > len(others):  # who knows no leader answers himself
            raise InboxUnavailable("the inbox has no leader, or one that is cut off")
        return int(info["state"]["last_seq"])

    async def usage(self, link: NatsLink) -> Usage:
        """Return how full the stream is. Raises InboxUnavailable."""
        info = self._checked(await self._call(link, "STREAM.INFO"))
        return Usage(info["state"]["bytes"], max(0, info["config"]["max_bytes"]))

    def revive(self, link: NatsLink) -> None:
        """Make the stream, should it be missing; for whoever asked for it in vain, and asks again by himself."""
        if self._reviving is None or self._reviving.done():
            self._reviving = asyncio.create_task(self._try_to_ensure(link))

    async def _try_to_ensure(self, link: NatsLink) -> None:
        with suppress(InboxUnavailable):
            await self.ensure(link)

    def forget_sequences(self) -> None:
        """Begin anew: they mean other messages now."""
        self.seen = self.followed = 0

    def note_stored(self, sequence: int) -> None:
        """Take note that there is a message with this sequence."""
        self.seen = max(self.seen, sequence)

    def note_followed(self, sequence: int) -> None:
        """Take note that the stream was followed up to this sequence."""
        self.followed = sequence
        self.note_stored(sequence)

    async def give_epoch(self, link: NatsLink) -> dict[str, Any]:
        """Give the stream another epoch than it has; returns its settings then."""
        config = self._checked(await self._call(link, "STREAM.INFO"))["config"]
        config.setdefault("metadata", {})["epoch"] = token_hex(4)
        return await self._update(link, config)

    async def mark(self, link: NatsLink) -> None:
        """Write the marker anew. A full stream takes none; it has messages to go by then."""
        reply, answer = link.expect()
        head = b"NATS/1.0\r\nNats-Rollup: sub\r\n\r\n"
        link.write((b"HPUB %b %b %d %d\r\n%b\r\n" % (self.root.encode(), reply, len(head), len(head), head),))
        if not await answer:
            raise InboxUnavailable(link.reason or "the inbox does not answer")

    async def _wait_for_mover(self, link: NatsLink) -> None:
        """Leave it to a node that is about to bring the stream along. Raises InboxUnavailable when there is one."""
        if not self.replicated:
            return  # it is no cluster that a node could join
        answers = await link.ask(moving_subject(self.name), b"")
        if not answers or not answers[0].status:
            raise InboxUnavailable(f"stream {self.name}: a node brings it into the cluster" if answers else link.reason)

    async def _change(self, link: NatsLink, config: dict[str, Any]) -> dict[str, Any]:
        wanted = {**config, **self.wanted}
        before, now = config["max_msgs_per_subject"], wanted["max_msgs_per_subject"]
        lower = 0 < now < before or before <= 0 < now
        self.waits = lower and await self._has_longer_log(link, now // 2)
        if self.waits:
            # the server would remove what is above it, and what was accepted must stay
            _log.warning("a lower limit of entries has to wait: there is a log with more than half of it", limit=now)
            wanted["max_msgs_per_subject"] = before
            wanted["discard_new_per_subject"] = config.get("discard_new_per_subject", False)
        changed = {key: value for key, value in wanted.items() if config.get(key, False) != value}
        config = await self._update(link, wanted)
        if changed:
            _log.info("stream changed", stream=self.name, **changed)
        return config

    async def _update(self, link: NatsLink, config: dict[str, Any]) -> dict[str, Any]:
        updated: dict[str, Any] = self._checked(await self._call(link, "STREAM.UPDATE", config))["config"]
        return updated

    async def _has_longer_log(self, link: NatsLink, length: int) -> bool:
        offset = 0
        while True:
            asked = {"subjects_filter": f"{self.root}.>", "offset": offset}
            subjects = self._checked(await self._call(link, "STREAM.INFO", asked))["state"].get("subjects", {})
            if any(count > length for count in subjects.values()):
                return True
            if len(subjects) < PAGE:
                return False
            offset += PAGE

    async def _call(self, link: NatsLink, call: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await call_api(link, f"{call}.{self.name}", body, repeat=call == "STREAM.INFO")

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" in answer:
            reason = answer["error"].get("description")
            if code_of(answer) in TOO_SMALL:
                reason = f"{reason} (inbox.replicas is {self.wanted['num_replicas']}: has the NATS so many servers?)"
            raise InboxUnavailable(f"stream {self.name}: {reason}")
        return answer


_COMMON: dict[str, Any] = {
    "storage": "file",
    "retention": "limits",
    "allow_direct": True,
    "allow_atomic": True,
    "allow_rollup_hdrs": True,
}


def log_stream(subjects: Subjects, limits: Limits, options: Options) -> Stream:
    """Return the stream of a tenant's logs."""
    return Stream(subjects.stream, subjects.root, log_limits(limits, options))


def log_limits(limits: Limits, options: Options) -> dict[str, Any]:
    """Return the settings that a tenant's stream has of its own."""
    return {
        "max_bytes": limits.max_bytes or -1,
        "max_msgs_per_subject": limits.max_entries or -1,
        "discard": "new",
        "discard_new_per_subject": limits.max_entries > 0,
        "allow_msg_ttl": True,
        "duplicate_window": options.duplicate_window * 10**9,
        "num_replicas": options.replicas,
    }


def cursor_stream(subjects: CursorSubjects, options: Options) -> Stream:
    """Return the stream of all cursors."""
    own = {
        "max_msgs_per_subject": 1,
        "discard": "old",
        "max_age": options.cursor_ttl * 10**9,
        "duplicate_window": 10**9,  # never needed, and must not be above the age
        "num_replicas": options.replicas,
    }
    return Stream(subjects.stream, subjects.root, own)


async def call_api(
    link: NatsLink, subject: str, body: dict[str, Any] | None = None, *, repeat: bool = False
) -> dict[str, Any]:
    """Ask JetStream, and return what it answers, an `error` too; with `repeat` it is asked again each REPEAT until it
    does. Raises InboxUnavailable when nothing comes."""
    payload = json.encode(body) if body else b""
    reply, coming = link.expect()
    while not coming.done():
        link.write((b"PUB $JS.API.%b %b %d\r\n%b\r\n" % (subject.encode(), reply, len(payload), payload),))
        await asyncio.wait([coming], timeout=REPEAT if repeat else None)
    replies = coming.result()
    if not replies:
        raise InboxUnavailable(link.reason or "the inbox does not answer")
    if replies[0].status:
        raise InboxUnavailable("the server has no JetStream, or it is not ready")
    answer: dict[str, Any] = json.decode(replies[0].payload)
    return answer


def moving_subject(stream: str) -> str:
    """Return where somebody answers for as long as a stream of this name is being moved to this NATS."""
    return f"{stream.partition('+')[0]}.moving.{stream}"


def code_of(answer: dict[str, Any]) -> int:
    """Return the number of the error that JetStream answered, 0 for none."""
    return int(answer.get("error", {}).get("err_code", 0))
