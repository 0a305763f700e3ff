"""How two supervisors speak while the one hands its node over to the other: messages on a socket between the two.

    the old one                         the new one, its child
                                        reads and checks its configuration
                           <- Ask
    Estate (sockets, lock, rows, journal) ->
    its workers begin to note
    Noted ->                            forks its workers; they subscribe, and hold back what comes
                           <- Ready (a channel to each of them)
    its workers hand over
    Lost (a worker that died) ->
    Yours ->                            takes charge; its workers accept
                           <- Mine
    lets its workers end, and ends

Either side says GiveUp when it cannot go on; the end of the socket means that the other one has died. The two may be of
different versions: fields that one does not know are ignored, and new ones have defaults.
"""

import socket
import time
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Self

from msgspec import DecodeError, Struct, msgpack

from pushgate.errors import StartError
from pushgate.inbox import FollowedTo
from pushgate.node.control import CHANNELS
from pushgate.sockets.handoff import receive_files

VARIABLE = "PUSHGATE_HANDOVER"
"""The environment variable with the number of the new one's descriptor of the socket."""
PROTOCOL = 1
"""Of these messages, and of what workers tell each other; another one cannot be spoken to."""
PATIENCE = 5.0
"""Seconds that sending may wait for the other side to read."""
_PAUSE = 0.005
_PACKET = 256 * 1024


class Ask(Struct, tag="ask", frozen=True):
    """The new one wants to take over, and could: its configuration is right."""

    protocol: int
    version: str


class Estate(Struct, tag="estate", frozen=True):
    """What there is to take over.

    With it come descriptors: the lock of the data directory, the listening sockets of both ports, the rows and the
    journal. `ports` are the hosts and ports that the sockets were configured by, `fixed` the settings by name that have
    to be the same, `rows` is a description (`metrics.generations`), `home` the number that the node is addressed by; 0:
    it has none.
    """

    workers: int
    ports: list[tuple[str, int]]
    fixed: dict[str, str]
    rows: bytes
    demo_key: str = ""
    home: int = 0


class Noted(Struct, tag="noted", frozen=True):
    """The old workers note what they deliver: the new ones may begin to hear the same.

    `places` are up to where all of them had followed the logs of each tenant when they began.
    """

    places: dict[str, FollowedTo] = {}


class Ready(Struct, tag="ready", frozen=True):
    """The new workers hear everything. In several packets come the channels to them, as in `control.HandOver`."""

    channels: int
    rows: bytes = b""


class Lost(Struct, tag="lost", frozen=True):
    """An old worker died while it handed over; what it still had is lost."""

    worker: int


class Yours(Struct, tag="yours", frozen=True):
    """Everything is handed over. `stop` or `reload`: the old one was told to do that meanwhile."""

    stop: bool = False
    reload: bool = False


class Mine(Struct, tag="mine", frozen=True):
    """The new one is in charge, and its workers have everything."""


class GiveUp(Struct, tag="give-up", frozen=True):
    """This side cannot go on, and why."""

    reason: str


Message = Ask | Estate | Noted | Ready | Lost | Yours | Mine | GiveUp

_encode = msgpack.Encoder().encode
_decoder: msgpack.Decoder[Message] = msgpack.Decoder(Message)


class Link:
    """One end of the socket; `socket` is for waiting on it."""

    def __init__(self, ours: socket.socket) -> None:
        ours.setblocking(False)
        self.socket = ours

    @classmethod
    def open(cls) -> tuple[Self, socket.socket]:
        """Return a link, and the socket of its other end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    @classmethod
    def inherited(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Return the link to the supervisor that this process was started by, None when it was by nobody.

        The variable is taken out of the environment. Raises StartError when it names no socket.
        """
        number = environ.pop(VARIABLE, None)
        if number is None:
            return None
        try:
            ours = socket.socket(fileno=int(number))
            ours.set_inheritable(False)
        except (ValueError, OSError):
            raise StartError(f"{VARIABLE} is set by a supervisor for its successor, and by nobody else") from None
        return cls(ours)

    def send(self, message: Message, files: Sequence[int] = ()) -> None:
        """Send a message. Raises OSError when the other side is gone, or does not read for PATIENCE seconds."""
        packet = _encode(message)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if files:
                    socket.send_fds(self.socket, [packet], files)
                else:
                    self.socket.send(packet)
            except OSError as error:  # no room, or too many of this user's descriptors under way
                if isinstance(error, ConnectionError) or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def receive(self, wait: float = 0.0) -> tuple[Message, list[int]] | None:
        """Return the next message with its descriptors, None at the end. Raises TimeoutError when there is none yet.

        Raises StartError for one that cannot be read.
        """
        until = time.monotonic() + wait
        while True:
            try:
                packet, files = receive_files(self.socket, _PACKET, 1 + CHANNELS)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise TimeoutError from None
                time.sleep(_PAUSE)
            except OSError:
                return None
        if not packet:
            return None
        try:
            return _decoder.decode(packet), files
        except DecodeError as error:
            raise StartError(f"the other supervisor speaks otherwise: {error}") from None

    def give_up(self, reason: str) -> None:
        """Tell the other side, if it is there, that this one cannot go on."""
        with suppress(OSError):
            self.send(GiveUp(reason))

    def close(self) -> None:
        """Let go of the socket."""
        self.socket.close()
