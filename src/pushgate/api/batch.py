"""Many pushes in one call: each is read and refused alone, and those that are right are sent on together."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from pushgate.api.bodies import bad_body
from pushgate.api.calls import Call
from pushgate.api.context import ApiContext
from pushgate.api.problems import Answer, describe_problem, internal_error
from pushgate.api.push import Form, PushRoute, accept
from pushgate.api.reliable import append_pushes
from pushgate.api.schemas import BatchAnswered, PushResult
from pushgate.bus.base import Parcel
from pushgate.errors import BusUnavailable, Problem
from pushgate.inbox.base import Appended
from pushgate.messages.push import Push
from pushgate.metrics.catalogue import PUSHES_REFUSED
from pushgate.routing.addressing import to_parcels
from pushgate.tenants.registry import Quota

SLICE = 50
"""Pushes that are read in one go, so that the loop stays responsive."""


class Taken(NamedTuple):
    """A push that is right: its place in the batch, and the slot that counts its kind."""

    place: int
    push: Push
    kind: int


class Batch:
    """The pushes of one call, while they are read and sent on: `results` has what became of each.

    `call` has them followed.
    """

    def __init__(self, context: ApiContext, route: PushRoute, tenant: str, form: Form, call: Call | None) -> None:
        self._context = context
        self._route = route
        self._tenant = tenant
        self._form = form
        self._call = call
        self.results: list[PushResult] = []
        self.taken: list[Taken] = []

    def add(self, body: bytes, quota: Quota) -> None:
        """Read the next push."""
        place = len(self.results)
        try:
            push, kind = self._route.read(self._tenant, body, self._form, quota)
        except Problem as problem:
            self.results.append(_refused(problem))
            return
        self.results.append(PushResult(202, push.id))
        self.taken.append(Taken(place, push, kind))

    async def send(self) -> None:
        """Send on what is right: live pushes together onto the bus, reliable ones together into the inbox.

        Raises Problem when none of them was taken.
        """
        live = [each for each in self.taken if each.push.qos == "live"]
        reliable = [each for each in self.taken if each.push.qos == "reliable"]
        failures = [*await self._publish(live), *await self._append(reliable)]
        if failures and len(failures) == len(self.taken):
            raise failures[0]
        for each in self.taken:
            if self.results[each.place].status == 202:
                self._context.row[each.kind] += 1

    async def _publish(self, live: Sequence[Taken]) -> list[Problem]:
        """Publish pushes, and return the problem of each that was not: all or none."""
        if not live:
            return []
        try:
            addressing, pushes = self._context.addressing, self._pushes_of(live)
            if addressing is None:
                parcels: Sequence[Parcel] = [parcel for push in pushes for parcel in to_parcels(push)]
            else:
                parcels = await addressing.address(pushes)
            await self._context.bus.publish(parcels)
        except BusUnavailable as error:
            failure = Problem("bus_unavailable", str(error))
        except Problem as problem:
            failure = problem
        else:
            return []
        for each in live:
            self.results[each.place] = _refused(failure)
        return [failure] * len(live)

    async def _append(self, reliable: Sequence[Taken]) -> list[Problem]:
        """Append pushes, and return the problem of each that was not."""
        if not reliable:
            return []
        outcomes: Sequence[Appended | Problem]
        try:
            outcomes = await append_pushes(self._route.inbox(), self._tenant, self._pushes_of(reliable))
        except Problem as problem:
            outcomes = [problem] * len(reliable)
        failures = []
        for each, outcome in zip(reliable, outcomes, strict=True):
            if isinstance(outcome, Problem):
                failures.append(outcome)
                self.results[each.place] = _refused(outcome)
            else:
                accepted = accept(each.push, outcome)
                self.results[each.place] = PushResult(202, accepted.id, accepted.offset, accepted.duplicate)
        return failures

    def _pushes_of(self, taken: Sequence[Taken]) -> list[Push]:
        """Return pushes as they are sent on."""
        pushes = [each.push for each in taken]
        return pushes if self._call is None else self._call.follow(pushes)


async def push_batch(
    context: ApiContext,
    route: PushRoute,
    tenant: str,
    body: bytes,
    form: Form,
    request_id: str,
    call: Call | None = None,
) -> Answer:
    """Return the answer to a batch: 200 with a result for each push, else a problem for all of them. Never raises."""
    batch = Batch(context, route, tenant, form, call)
    count = 1
    try:
        quota = route.quota_of(tenant)
        pushes = form.read_batch(body).pushes
        count = len(pushes)
        _check_count(count, quota)
        for index, each in enumerate(pushes, 1):
            batch.add(bytes(each), quota)
            if index % SLICE == 0:
                await asyncio.sleep(0)
        route.charge(quota, len(batch.taken))
        await batch.send()
    except Problem as problem:
        return route.refuse(problem, request_id, count)
    except Exception as error:
        return route.refuse(internal_error(error, request_id), request_id, count)
    for result in batch.results:
        if result.status == 202:
            context.row[quota.pushes_slot] += 1
        else:
            context.row[PUSHES_REFUSED.get(str(result.status), PUSHES_REFUSED["other"])] += 1
    return Answer(200, form.encode(BatchAnswered(batch.results)), (), form.media)


def _refused(problem: Problem) -> PushResult:
    return PushResult(problem.status, problem=describe_problem(problem))


def _check_count(count: int, quota: Quota) -> None:
    """Raise Problem 400 for more pushes than the tenant may ever send at once."""
    most = min(quota.max_batch, quota.pushes_per_second or quota.max_batch)
    if count > most:
        raise bad_body(
            [("pushes", f"expected a list of 1 to {most:,} pushes, this tenant's limit, got a list of {count}")]
        )
