"""A push on its way to the sessions of a worker: encoded once, the same bytes for all of them."""

from collections.abc import Sequence
from typing import Protocol

from pushgate.messages import json_codec
from pushgate.messages.push import Push
from pushgate.wire.frames import TEXT, encode_frame


class User(Protocol):
    """What delivery needs of a user's session."""

    @property
    def tenant(self) -> str:
        """The tenant it belongs to."""


class Channel(Protocol):
    """What delivery needs of one connection."""

    fd: int
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

    def serial_of(self, fd: int) -> int:
        """The number of the session on a descriptor."""

    def write_live(self, fd: int, frame: bytes) -> bool:
        """Write a live message; False when it was dropped, and the client closed, because it does not read."""


class Outgoing:
    """A push and its bytes. `narrowed` tells whether `matches` has to be asked at all."""

    __slots__ = ("_device", "_except", "_tags", "frame", "narrowed", "push")

    def __init__(self, push: Push) -> None:
        self.push = push
        self.frame = encode_frame(TEXT, json_codec.encode_push(push))
        self._device = push.device
        self._tags = frozenset(push.tags) if push.tags else None
        self._except = -1
        if push.except_session is not None:
            try:
                self._except = int(push.except_session, 16)
            except ValueError:
                pass  # no session has such an id: nobody is left out
        self.narrowed = self._device is not None or self._tags is not None or self._except >= 0

    def matches(self, channel: Channel, sessions: Sessions) -> bool:
        """Whether a connection is meant: its device, any of its tags, and not the session left out."""
        if self._device is not None and channel.device != self._device:
            return False
        if self._tags is not None and self._tags.isdisjoint(channel.tags):
            return False
        return self._except < 0 or sessions.serial_of(channel.fd) != self._except
