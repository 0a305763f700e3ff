"""Pushes to a user with pushgate's client: python push_pusher.py USER ORDER, with PUSHGATE_KEY set."""

import asyncio
import os
import random
import sys

from msgspec import json

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.pusher import Pushed, Pusher

API = os.environ.get("PUSHGATE_API", "http://127.0.0.1:8001")


async def push_reliably(gateway: Pusher, data: object, *, user: str, event: str, id: str) -> Pushed:
    """Push until it is stored, for 90 s. Repeating is safe for two minutes, because of the id."""
    async with asyncio.timeout(90):
        wait = 0.5
        while True:
            pause = random.uniform(0, wait)  # noqa: S311
            try:
                return await gateway.push(data, user=user, event=event, qos="reliable", ttl=86400, id=id)
            except Unreachable:
                pass  # it may be stored or not: again
            except ApiProblem as problem:
                if problem.status != 429 and problem.status < 500:
                    raise
                pause += problem.retry_after
            await asyncio.sleep(pause)
            wait = min(wait * 2, 16)


async def main(user: str, order: str) -> None:
    """Push of one order, live and reliably."""
    async with Pusher(API, os.environ["PUSHGATE_KEY"]) as gateway:
        # Live: for who is there now. It is not repeated, since a moment later it is worth nothing.
        live = await gateway.push({"order": order}, user=user, event="packing")
        print(json.encode(live).decode())
        # Reliable: kept until every device of the user has it, or its ttl (in seconds) is over.
        paid = await push_reliably(gateway, {"order": order}, user=user, event="paid", id=f"order-{order}-paid")
        print(json.encode(paid).decode())


asyncio.run(main(*sys.argv[1:]))
