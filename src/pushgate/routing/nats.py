"""The registry in NATS: a bucket of its key-value store, in memory.

    $KV.<prefix>-directory.user.<key>.<home>        an entry
    $KV.<prefix>-directory.lease.<home>.<worker>    a lease

Bucket and subjects are as NATS's own tools have them, so that these can look inside. A user's entries are found by a
wildcard at the end: a stream in memory goes there by the part before. Of what is written together the last message is
answered: a stream takes the messages of a connection in their order.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from msgspec import json

from pushgate.errors import RegistryUnavailable
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from pushgate.nats.replies import header
from pushgate.routing.base import KEPT, LEASE

SETTINGS = {
    "storage": "memory",
    "max_msgs_per_subject": 1,
    "max_age": KEPT * 10**9,
    "discard": "new",
    "allow_direct": True,
    "allow_msg_ttl": True,
    "allow_rollup_hdrs": True,
    "deny_delete": True,
}
EXISTS = 10058
"""The error for a stream that is there with other settings."""
MOVED_ON = 10071
"""The error for a message that does not follow the one that it should."""
PAUSE = 1.0
"""Seconds until the next attempt with a server that is there, but has no place for a bucket (yet)."""
TOGETHER = 128
"""Users that are asked for at once: the server refuses to find more than 1,024 entries."""
REMOVED = b"NATS/1.0\r\nKV-Operation: DEL\r\nNats-TTL: 1s\r\n\r\n"
"""What takes the place of an entry, and is gone a second later."""


class NatsRegistry:
    """The registry over NATS with JetStream; see Registry for what it promises, and Connection for `url`."""

    def __init__(self, url: str, prefix: str, home: int, worker: int, replicas: int) -> None:
        self._connection = Connection(url, "registry")
        bucket = f"{prefix}-directory"
        self._stream = f"KV_{bucket}"
        self._root = f"$KV.{bucket}"
        self._settings: dict[str, Any] = {
            "name": self._stream,
            "subjects": [f"{self._root}.>"],
            "num_replicas": replicas,
            **SETTINGS,
        }
        self._home = home
        self._lease = f"{self._root}.lease.{home}.{worker}"
        self._lease_at = 0
        self._seen = 0
        """The highest sequence that this process knows of: a server that has less is behind."""

    def start(self, on_new: Callable[[], None]) -> None:
        """See Registry. What keeps it from connecting is logged."""

        async def set_up(link: NatsLink) -> None:
            try:
                await self._make_stream(link)
                self._seen = 0
                self._lease_at = await self._publish(link, self._lease_message(""))
            except RegistryUnavailable as error:
                await asyncio.sleep(PAUSE)
                raise ConnectionError(str(error)) from None
            on_new()

        self._connection.start(set_up)

    @property
    def connected(self) -> bool:
        """See Registry."""
        return self._connection.connected

    async def write(self, held: Sequence[bytes], left: Sequence[bytes]) -> None:
        """See Registry."""
        size = len(REMOVED)
        messages = [(f"HPUB {self._entry(key)}", f" {size} {size}\r\n".encode() + REMOVED) for key in left]
        messages += [(f"PUB {self._entry(key)}", b" 0\r\n") for key in held]
        if not messages:
            return
        link = self._link()
        *others, last = messages
        link.write([b"%b%b\r\n" % (head.encode(), rest) for head, rest in others])
        await self._publish(link, last)

    async def read(self, keys: Collection[bytes]) -> Mapping[bytes, Sequence[int]]:
        """See Registry."""
        found: dict[bytes, list[int]] = {}
        rest = iter(keys)
        while group := list(islice(rest, TOGETHER)):
            await self._read_group(group, found)
        return found

    async def renew(self) -> bool:
        """See Registry."""
        link = self._link()
        try:
            self._lease_at = await self._publish(link, self._lease_message(str(self._lease_at)))
        except _MovedOn:
            self._seen = 0
            self._lease_at = await self._publish(link, self._lease_message(""))
            return False
        return True

    async def stop(self) -> None:
        """See Registry."""
        await self._connection.stop()

    def _link(self) -> NatsLink:
        link = self._connection.link
        if link is None:
            raise RegistryUnavailable("the registry is away")
        return link

    def _entry(self, key: bytes) -> str:
        return f"{self._root}.user.{key.hex()}.{self._home}"

    def _lease_message(self, after: str) -> tuple[str, bytes]:
        """Return the lease as a message; one given with `after` is taken only if the one before has that sequence."""
        lines = f"NATS/1.0\r\nNats-TTL: {LEASE}s\r\n"
        if after:
            lines += f"Nats-Expected-Last-Subject-Sequence: {after}\r\n"
        head = f"{lines}\r\n".encode()
        return f"HPUB {self._lease}", b" %d %d\r\n%b" % (len(head), len(head), head)

    async def _publish(self, link: NatsLink, message: tuple[str, bytes]) -> int:
        """Publish a message, and return its sequence once the stream has it."""
        reply, answer = link.expect()
        link.write((b"%b %b%b\r\n" % (message[0].encode(), reply, message[1]),))
        answered = _checked(link, await answer)
        self._seen = max(self._seen, answered["seq"])
        return int(answered["seq"])

    async def _read_group(self, keys: Sequence[bytes], found: dict[bytes, list[int]]) -> None:
        link = self._link()
        wanted = [f"{self._root}.user.{key.hex()}.*" for key in keys]
        asked = json.encode({"multi_last": [self._lease, *wanted]})
        replies = await link.ask(f"$JS.API.DIRECT.GET.{self._stream}", asked, many=True)
        if not replies:
            raise RegistryUnavailable(link.reason or "the registry does not answer")
        *messages, end = replies
        if end.status != 204 or header(end.headers, b"Nats-Num-Pending") != b"0":
            raise RegistryUnavailable(f"the registry has no answer (status {end.status})")
        reached = int(header(end.headers, b"Nats-UpTo-Sequence"))
        if reached < self._seen:
            raise RegistryUnavailable("a server of the registry is behind the others")
        self._seen = reached
        has_lease = False
        for message in messages:
            kind, *place = header(message.headers, b"Nats-Subject")[len(self._root) + 1 :].decode().split(".")
            if kind == "lease":
                has_lease = True
            elif b"\r\nKV-Operation:" not in message.headers:
                found.setdefault(bytes.fromhex(place[0]), []).append(int(place[1]))
        if not has_lease:
            raise RegistryUnavailable("the registry has lost what was written")

    async def _make_stream(self, link: NatsLink) -> None:
        for verb in ("CREATE", "UPDATE"):
            replies = await link.ask(f"$JS.API.STREAM.{verb}.{self._stream}", json.encode(self._settings))
            try:
                _checked(link, replies)
                return
            except _Exists:
                continue
        raise RegistryUnavailable(f"the stream {self._stream} has other settings")


class _MovedOn(RegistryUnavailable):
    """The message before is not the one that it should be."""


class _Exists(RegistryUnavailable):
    """The stream is there, and different."""


def _checked(link: NatsLink, replies: Sequence[Any]) -> dict[str, Any]:
    """Return what JetStream answered. Raises RegistryUnavailable when that is an error, or nothing."""
    if not replies:
        raise RegistryUnavailable(link.reason or "the registry does not answer")
    if replies[0].status:
        raise RegistryUnavailable("the server has no JetStream, or it is not ready")
    answer: dict[str, Any] = json.decode(replies[0].payload)
    if error := answer.get("error"):
        kind = {EXISTS: _Exists, MOVED_ON: _MovedOn}.get(error.get("err_code"), RegistryUnavailable)
        raise kind(str(error.get("description")))
    return answer
