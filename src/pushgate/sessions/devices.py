"""What the sessions need of reliable delivery."""

from typing import Protocol

from pushgate.sessions.session import ChannelSession
from pushgate.sessions.state import Place


class Devices(Protocol):
    """Who brings reliable messages to the sessions that name a device."""

    def begin(self, channel: ChannelSession, cursor: int) -> None:
        """A device was welcomed; its client has everything up to `cursor`."""

    def end(self, channel: ChannelSession) -> None:
        """A device's session is closed."""

    def acknowledge(self, channel: ChannelSession, offset: int) -> bool:
        """A device has everything up to an offset; returns whether its cursor moved. Raises MessageError."""

    def hand_over(self, channel: ChannelSession) -> Place | None:
        """A device's session goes to another process; returns what `take_over` wants there, None without an inbox."""

    def take_over(self, channel: ChannelSession, place: Place) -> bool:
        """A device's session came from another process; returns False when its cursor means nothing any more."""

    def progress(self, channel: ChannelSession) -> tuple[int, int]:
        """Return the offset up to which a device was sent everything, and the one it acknowledged."""
