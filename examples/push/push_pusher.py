"""Pushes to a user with pushgate's client: python push_pusher.py USER ORDER, with PUSHGATE_KEY set."""

import os
import sys

from msgspec import json

from pushgate.client.pusher import Pusher

API = os.environ.get("PUSHGATE_API", "http://127.0.0.1:8001")


def main(user: str, order: str) -> None:
    """Push of one order, live and reliably."""
    # A reliable push is repeated with its id, as Retry-After says, for so many seconds: less than the two minutes in
    # which an id is known.
    with Pusher(API, os.environ["PUSHGATE_KEY"], patience=90) as gateway:
        # Live: for who is there now.
        live = gateway.push({"order": order}, user=user, event="packing")
        print(json.encode(live).decode())
        # Reliable: kept until every device of the user has it, or its ttl (in seconds) is over.
        id = f"order-{order}-paid"
        paid = gateway.push({"order": order}, user=user, event="paid", qos="reliable", ttl=86400, id=id)
        print(json.encode(paid).decode())


main(*sys.argv[1:])
