"""Waiting for the receipt of a push, and saying who lacks it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushgate.client.answers import Pushed, Receipt
    from pushgate.client.pusher import AsyncPusher

PAUSE = 0.2
"""Seconds between two looks at a receipt."""


async def await_receipt(pusher: "AsyncPusher", pushed: "Pushed", user: str | None, patience: float) -> str:
    """Ask for the receipt until every device has the message; returns who lacks it, in words, when time is over."""
    import asyncio
    import time

    from msgspec import UNSET

    if pushed.offset is UNSET:
        return "the gateway did not say where it keeps the message"
    until = time.monotonic() + patience
    while True:
        receipt = await pusher.receipt(pushed.id, pushed.offset, user=user)
        if receipt.complete:
            return ""
        left = until - time.monotonic()
        if left <= 0:
            return _tell_lacking(receipt, user)
        await asyncio.sleep(min(PAUSE, left))


def _tell_lacking(receipt: "Receipt", user: str | None) -> str:
    """Say who lacks a message."""
    from msgspec import UNSET

    if receipt.connected is not UNSET:
        devices, has = receipt.connected.devices, receipt.connected.acknowledged
        said = f"{devices - has} of {devices} connected devices lack it" if devices else "no device is connected"
    elif receipt.devices:
        names = [each.device for each in receipt.devices if not each.acknowledged]
        said = f"lacked by {', '.join(names)}" if names else "all devices known have it"
    else:
        said = f"no device of {user} is known"
    gone = "; it is gone: expired or replaced" if receipt.state == "gone" else ""
    return said + gone + (f"; no answer from {', '.join(receipt.missing)}" if receipt.missing else "")
