"""Pushes that business systems produce to the bus's broker rather than post: who may, and what becomes of them.

Every worker gets each of them, checks it, and delivers it to the sessions that it holds. Properties of the message:

- `pushgate-tenant`: whose push it is;
- `pushgate-time`: milliseconds since 1970, within FRESH of the node's own;
- `pushgate-signature`: HMAC-SHA256, in hex, over the tenant, a newline, the time, a newline, and the body; its key is
  the SHA-256 of one of the tenant's API keys, 32 bytes, so that the key itself never lies in a broker.

The body is that of `POST /v1/push`, for `live` pushes only: there is no answer to say that a reliable one is stored.
What is produced twice, as producers do that got no answer, has the same signature and is taken once.
"""

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import UNSET
from msgspec.structs import replace

from pushgate.api.push import JSON_FORM, PushRoute
from pushgate.errors import Problem
from pushgate.log import get_logger
from pushgate.messages.push import Push, encode_push
from pushgate.metrics.catalogue import PUSHES_REFUSED
from pushgate.metrics.rows import Row

TENANT, TIME, SIGNATURE = "pushgate-tenant", "pushgate-time", "pushgate-signature"
FRESH = 60.0
"""Seconds that the time of a push may be away from the node's: after twice that a copy of it is told by its age."""
REPEAT = 30.0
"""Seconds after which another refused one is logged."""

_log = get_logger("feed")


class TenantDigests(Protocol):
    """What is asked of the tenants."""

    def digests_of(self, tenant: str) -> Sequence[bytes]:
        """Return the SHA-256 of each of a tenant's API keys; none for an unknown tenant."""


class ProducedPushes:
    """Takes them in one worker, and gives them to `deliver` as the bus does. Where it `counts` they are counted."""

    def __init__(
        self, route: PushRoute, tenants: TenantDigests, row: Row, counts: bool, deliver: Callable[[bytes], None]
    ) -> None:
        self._route = route
        self._tenants = tenants
        self._row = row
        self._counts = counts
        self._deliver = deliver
        self._seen: dict[str, float] = {}  # signatures and when they came, the oldest first
        self._logged = 0.0

    def take(self, properties: Mapping[str, str], body: bytes) -> None:
        """Deliver one, or refuse it: that is counted, and logged now and then."""
        try:
            push = self._admit(properties, body)
        except Problem as problem:
            self._refuse(problem)
            return
        if push is not None:
            self._deliver(encode_push(push))

    def _admit(self, properties: Mapping[str, str], body: bytes) -> Push | None:
        tenant, moment = properties.get(TENANT, ""), properties.get(TIME, "")
        signature = properties.get(SIGNATURE, "").lower()
        signed = f"{tenant}\n{moment}\n".encode() + body
        digests = self._tenants.digests_of(tenant)
        expected = [hmac.digest(digest, signed, "sha256").hex().encode() for digest in digests]
        if not any(hmac.compare_digest(each, signature.encode()) for each in expected):
            raise Problem("unauthorized", f"expected {SIGNATURE} by a key of the tenant in {TENANT}")
        now = time.time()
        if not (moment.isdecimal() and len(moment) < 16) or abs(now - int(moment) / 1000) > FRESH:
            raise Problem("unauthorized", f"expected {TIME} in milliseconds and within {FRESH:.0f} s of now")
        if self._has_seen(signature, now):
            return None
        quota = self._route.quota_of(tenant)
        given = JSON_FORM.read(body).id is not UNSET
        push, kind = self._route.read(tenant, body, JSON_FORM, quota)
        if push.qos != "live":
            raise Problem("bad_request", "expected a live push, got a reliable one: it needs an answer (POST /v1/push)")
        if self._counts:
            self._row[kind] += 1
            self._row[quota.pushes_slot] += 1
        # the same on every worker, whatever each has drawn for it
        return replace(push, id=push.id if given else signature[:27], time=int(moment))

    def _has_seen(self, signature: str, now: float) -> bool:
        seen = self._seen
        while seen and now - seen[first := next(iter(seen))] > 2 * FRESH:
            del seen[first]
        if signature in seen:
            return True
        seen[signature] = now
        return False

    def _refuse(self, problem: Problem) -> None:
        if not self._counts:
            return
        self._row[PUSHES_REFUSED.get(str(problem.status), PUSHES_REFUSED["other"])] += 1
        now = time.monotonic()
        if now - self._logged > REPEAT:
            self._logged = now
            fields = [field for field, _ in problem.errors]
            _log.warning("a produced push is refused", reason=problem.detail, fields=fields)
