"""What old workers send to new ones in a hand-over: packets on a channel (sockets.handoff), with descriptors."""

import asyncio
import errno
import os
import socket
from collections.abc import Sequence

from msgspec import DecodeError, Struct, msgpack

from pushgate.sockets.handoff import receive_files

PACKET_SESSIONS = 64
"""Sessions in one packet."""
RECORD_BYTES = 1024
"""Bytes of a session's record beyond which it goes in a file beside its socket: half a message and what is parked may
be megabytes, and a packet may not."""
NOTES_BYTES = 64 * 1024
"""Bytes of notes in one packet."""
RECEIVE_BYTES = 512 * 1024
RECEIVE_FILES = 2 * PACKET_SESSIONS
RETRY = 0.002
"""Seconds until a full channel is tried again."""
_WAIT = frozenset({errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.EINTR})


class Sessions(Struct, tag="s", array_like=True, frozen=True):
    """Sessions of one shard (sessions.state), a descriptor for each. Where the record is empty it is in a file, whose
    descriptor comes next."""

    shard: int
    records: list[bytes]


class Given(Struct, tag="g", array_like=True, frozen=True):
    """All sessions of a shard were sent by this worker. See delivery.holding for the notes and places."""

    shard: int
    worker: int
    notes: int
    places: dict[str, int]


class Noted(Struct, tag="n", array_like=True, frozen=True):
    """The next notes of a worker (delivery.notes)."""

    worker: int
    digests: bytes


class Arrived(Struct, tag="a", array_like=True, frozen=True):
    """A connection of a shard that was given already (sessions.arrival), with its descriptor."""

    record: bytes


class Callers(Struct, tag="c", array_like=True, frozen=True):
    """Connections of callers on which nothing is asked now: a descriptor each."""


Packet = Sessions | Given | Noted | Arrived | Callers

_encode = msgpack.Encoder().encode
_decoder: msgpack.Decoder[Packet] = msgpack.Decoder(Packet)


class Sender:
    """The sending end of the channel to one new worker. Packets go one after the other, each whole."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._turn = asyncio.Lock()
        self.notes = 0
        """How many notes were sent."""

    async def send(self, packet: Packet, fds: Sequence[int] = ()) -> None:
        """Send a packet, and close its descriptors here; waits while the channel is full. Raises OSError when broken.

        The kernel bounds the descriptors of a user that are on their way (ETOOMANYREFS): the receiver takes them.
        """
        data = _encode(packet)
        async with self._turn:
            while True:
                try:
                    if fds:
                        socket.send_fds(self._channel, [data], fds)
                    else:
                        self._channel.send(data)
                    break
                except OSError as error:
                    if error.errno not in _WAIT:
                        raise
                await asyncio.sleep(RETRY)
        for fd in fds:
            os.close(fd)

    def close(self) -> None:
        """Let go of the channel."""
        self._channel.close()


def receive(channel: socket.socket) -> tuple[Packet, list[int]] | None:
    """Return the next packet with its descriptors, None at the end. Raises BlockingIOError when there is none now.

    Raises ValueError for one that cannot be read; its descriptors are closed.
    """
    data, fds = receive_files(channel, RECEIVE_BYTES, RECEIVE_FILES)
    if not data:
        return None
    try:
        return _decoder.decode(data), fds
    except DecodeError as error:
        for fd in fds:
            os.close(fd)
        raise ValueError(f"not a packet of a hand-over: {error}") from None
