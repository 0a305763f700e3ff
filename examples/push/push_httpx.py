"""Pushes to a user with httpx: python push_httpx.py USER ORDER, with PUSHGATE_KEY (and PUSHGATE_API) set."""

import os
import random
import sys
import time

import httpx

API = os.environ.get("PUSHGATE_API", "http://127.0.0.1:8001")
HEADERS = {"Authorization": f"Bearer {os.environ['PUSHGATE_KEY']}"}


def push_reliably(http: httpx.Client, push: dict[str, object], patience: float = 90) -> httpx.Response:
    """Push until it is stored, for `patience` seconds. Repeating is safe for two minutes, because of the push's id."""
    until = time.monotonic() + patience
    wait = 0.5
    while True:
        pause = random.uniform(0, wait)  # noqa: S311
        try:
            answer = http.post("/v1/push", json=push)
        except httpx.TransportError:
            answer = None  # it may be stored or not: again
        if answer is not None:
            if answer.status_code != 429 and answer.status_code < 500:
                return answer.raise_for_status()
            pause += float(answer.headers.get("Retry-After", 0))
        if time.monotonic() + pause > until:
            raise TimeoutError("the gateway did not take the push in time")
        time.sleep(pause)
        wait = min(wait * 2, 16)


def main(user: str, order: str) -> None:
    """Push of one order, live and reliably."""
    with httpx.Client(base_url=API, headers=HEADERS, timeout=10) as http:
        # Live: for who is there now. It is not repeated, since a moment later it is worth nothing.
        print(http.post("/v1/push", json={"user": user, "event": "packing", "data": {"order": order}}).text)
        # Reliable: kept until every device of the user has it, or its ttl (in seconds) is over.
        paid = {"user": user, "event": "paid", "data": {"order": order}, "qos": "reliable", "ttl": 86400}
        print(push_reliably(http, {**paid, "id": f"order-{order}-paid"}).text)


main(*sys.argv[1:])
