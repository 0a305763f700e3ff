"""The control socket between the supervisor and a worker: what they say to each other, a word a packet.

A word is a byte, and may have a body and descriptors. The end of the socket says that the other one has died.
"""

import socket
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, msgpack

from pushgate.sockets.handoff import receive_files

# The supervisor's words
STOP = b"s"
"""Stop gracefully."""
RELOAD = b"c"
"""Take on the settings in the file that comes along; see `node.reload`."""
DRAIN = b"d"
"""Let nobody in any more, and send all clients away evenly until the moment in the body: monotonic seconds, decimal."""
NOTE = b"n"
"""Note from now on which live messages are delivered: another generation of workers begins to hear them too."""
FORGET = b"f"
"""Go on as if nothing had been: there is no other generation (any more)."""
HAND_OVER = b"h"
"""Hand all sessions over to the workers at the other ends of the channels that come along; see `HandOver`."""
RETIRE = b"e"
"""All is handed over: come to an end once callers, and clients that could not be, are gone."""
LOST = b"l"
"""To a new worker: the old one of this index, in decimal, died while it handed over."""
SPEAK = b"p"
"""To a new worker: speak for the node from now on."""

# A worker's words
READY = b"r"
"""It serves, or could, and its subscriptions hold."""
NOTED = b"n"
"""It notes what it delivers, as NOTE asked."""
GIVEN = b"g"
"""It has handed over all its sessions, but for those that cannot be."""
TAKEN = b"t"
"""It has taken over all its sessions, and accepts connections."""

CHANNELS = 100
"""Channels that one packet of HAND_OVER brings; the kernel takes 253 descriptors."""
_PACKET = 256 * 1024

_encode = msgpack.Encoder().encode


class HandOver(Struct, frozen=True):
    """The body of HAND_OVER, which comes in several packets: `channels` are as many as come in all of them.

    The first packet brings `rows` too, the description of the new generation's (see `metrics.rows`), and as the first
    of its descriptors their file.
    """

    channels: int
    rows: bytes = b""


_decode = msgpack.Decoder(HandOver).decode


class Said(NamedTuple):
    """What was said, with the descriptors that came along: they belong to whoever heard it."""

    word: bytes
    body: bytes
    files: list[int]


def open_control() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a control socket; they do not block."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def say(control: socket.socket, word: bytes, body: bytes = b"", files: Sequence[int] = ()) -> None:
    """Say a word. Raises OSError: BlockingIOError, or ETOOMANYREFS for descriptors, when it has to wait."""
    if files:
        socket.send_fds(control, [word, body], files)
    else:
        control.sendmsg([word, body])


def hear(control: socket.socket) -> Said | None:
    """Return what was said next, None at the end. Raises BlockingIOError when nothing was, OSError for a broken end."""
    packet, files = receive_files(control, _PACKET, 1 + CHANNELS)
    return Said(packet[:1], packet[1:], files) if packet else None


def packets_of(channels: Sequence[int], rows: int, description: bytes) -> list[tuple[bytes, list[int]]]:
    """Return the bodies and descriptors of HAND_OVER: the channels in the order of their workers, and the rows."""
    packets = []
    for start in range(0, len(channels), CHANNELS):
        body = HandOver(len(channels), description if start == 0 else b"")
        packets.append((_encode(body), [*([rows] if start == 0 else ()), *channels[start : start + CHANNELS]]))
    return packets


class Channels:
    """Gathers the packets of HAND_OVER in a worker."""

    def __init__(self) -> None:
        self.rows: tuple[int, bytes] | None = None
        """The file of the new generation's rows and their description, once they came."""
        self._sockets: list[socket.socket] = []

    def gather(self, said: Said) -> list[socket.socket] | None:
        """Take a packet; returns the channels, in the order of their workers, when it was the last."""
        body, files = _decode(said.body), said.files
        if body.rows:
            self.rows, files = (files[0], body.rows), files[1:]
        self._sockets += [socket.socket(fileno=file) for file in files]
        return self._sockets if len(self._sockets) == body.channels else None
