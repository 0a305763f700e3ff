"""Having the tenants' logs opened in the inbox, until it is so; what was wanted last holds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pushgate.errors import InboxUnavailable
from pushgate.inbox import Limits
from pushgate.log import get_logger

AGAIN = 0.5
"""Seconds until tenants that could not be opened are tried again."""

_log = get_logger("inbox", lifecycle=True)


class Opening:
    """Opens tenants by `open_tenants`; `trouble` says why they are not open, and is empty where they are."""

    def __init__(self, open_tenants: Callable[[Mapping[str, Limits]], Awaitable[None]]) -> None:
        self.trouble = "it was not tried yet"
        self._open = open_tenants
        self._wanted: Mapping[str, Limits] = {}
        self._turn = asyncio.Lock()

    async def want(self, tenants: Mapping[str, Limits]) -> None:
        """Have these tenants opened, with these limits; returns when it is so, or when others are wanted meanwhile."""
        self._wanted = tenants
        async with self._turn:  # an older attempt comes to its end first, and never has the last word
            while self._wanted is tenants:
                try:
                    await self._open(tenants)
                except InboxUnavailable as error:
                    if str(error) != self.trouble:
                        _log.warning("the inbox cannot be opened yet", reason=str(error))
                    self.trouble = str(error)
                    await asyncio.sleep(AGAIN)
                else:
                    self.trouble = ""
                    return
