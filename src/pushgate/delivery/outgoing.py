"""A push on its way to the sessions of a worker: encoded once a format, the same bytes for all of the format."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pushgate.log import get_logger
from pushgate.messages.client import Error
from pushgate.messages.formats import FORMATS
from pushgate.messages.push import Push

_log = get_logger("delivery")


class User(Protocol):
    """What delivery needs of a user's session."""

    @property
    def tenant(self) -> str:
        """The tenant it belongs to."""

    @property
    def uid(self) -> str:
        """Its name there."""


class Channel(Protocol):
    """What delivery needs of one connection."""

    fd: int
    format: int
    device: str | None
    tags: tuple[str, ...]

    @property
    def user(self) -> User:
        """Whose it is."""


class Sessions(Protocol):
    """What delivery needs of the sessions of its worker."""

    @property
    def by_fd(self) -> Sequence[Channel | None]:
        """All connections, by descriptor."""

    def find(self, tenant: str, uid: str) -> Sequence[Channel]:
        """The connections of one user."""

    def descriptors(self, tenant: str, start: int, stop: int) -> Mapping[int, Sequence[int]]:
        """The descriptors from `start` to below `stop` of a tenant's connections, by the number of their format."""

    def serial_of(self, fd: int) -> int:
        """The number of the session on a descriptor."""

    def count_written(self, tenant: str, messages: int, size: int) -> None:
        """Count messages of a tenant that were written, `size` bytes in all."""

    def write_live(self, fd: int, frame: bytes) -> bool:
        """Write a live message; False when it was dropped, and the client closed, because it does not read."""

    def write_all(self, fds: Sequence[int], frame: bytes) -> int:
        """Write a live message to open sessions; returns how many took it, the others are closed."""

    def is_parked(self, fd: int) -> bool:
        """Whether bytes wait for the connection to take them."""


class Outgoing:
    """A push and its bytes. `narrowed` tells whether `matches` has to be asked at all.

    A reliable one has an `offset`, 0 stands for a live one; `resent` says that the client may have seen it. `frames`
    has the push by the number of a format, None until a session of that format wants it: `fill` then puts it there.
    Loops over sessions ask `frames` themselves, since a call for each would cost as much as the rest.
    """

    __slots__ = ("_device", "_except", "_tags", "frames", "narrowed", "offset", "push", "resent")

    def __init__(self, push: Push, offset: int = 0, resent: bool = False) -> None:
        self.push = push
        self.offset = offset
        self.resent = resent
        self.frames: list[bytes | None] = [None] * len(FORMATS)
        self._device = push.device
        self._tags = frozenset(push.tags) if push.tags else None
        self._except = -1
        if push.except_session is not None:
            try:
                self._except = int(push.except_session, 16)
            except ValueError:
                pass  # no session has such an id: nobody is left out
        self.narrowed = self._device is not None or self._tags is not None or self._except >= 0

    def fill(self, number: int) -> bytes:
        """Return the push as the sessions of a format get it, and keep it in `frames`."""
        chosen = FORMATS[number]
        if number != chosen.plain:
            frame = chosen.compress(self.frames[chosen.plain] or self.fill(chosen.plain))
        else:
            frame = self._encode(number)
        self.frames[number] = frame
        return frame

    def write(self, alike: Mapping[int, Sequence[int]], sessions: Sessions) -> None:
        """Write it to open sessions of its tenant, given as their descriptors by format, and count that."""
        delivered = size = 0
        for number, fds in alike.items():
            frame = self.frames[number] or self.fill(number)
            taken = sessions.write_all(fds, frame)
            delivered += taken
            size += taken * len(frame)
        if delivered:
            sessions.count_written(self.push.tenant, delivered, size)

    def _encode(self, number: int) -> bytes:
        chosen, push = FORMATS[number], self.push
        try:
            return chosen.frame_push(push, self.offset, self.resent)
        except (ValueError, OverflowError, RecursionError) as error:
            # The API takes nothing like it; a fan-out must outlive it all the same, and a client know what it lacks.
            _log.error("a push does not go into a format", id=push.id, format=chosen.codec.PROTOCOL, error=str(error))
            return chosen.frame(Error("undeliverable", f"message {push.id} cannot be said in this subprotocol"))

    def matches(self, channel: Channel, sessions: Sessions) -> bool:
        """Whether a connection is meant: its device, any of its tags, and not the session left out."""
        if self._device is not None and channel.device != self._device:
            return False
        if self._tags is not None and self._tags.isdisjoint(channel.tags):
            return False
        return self._except < 0 or sessions.serial_of(channel.fd) != self._except
