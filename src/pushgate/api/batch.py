"""Many pushes in one call: each is read and refused alone, and those that are right go onto the bus together."""

import asyncio

from pushgate.api.bodies import bad_body
from pushgate.api.context import ApiContext
from pushgate.api.problems import Answer, describe_problem, internal_error
from pushgate.api.push import Form, PushRoute, to_parcels
from pushgate.api.schemas import BatchAnswered, PushResult
from pushgate.bus.base import Parcel
from pushgate.errors import BusUnavailable, Problem
from pushgate.metrics.catalogue import PUSHES_REFUSED
from pushgate.tenants.registry import Quota

SLICE = 50
"""Pushes that are read in one go, so that the loop stays responsive."""


class Batch:
    """The pushes of one call, while they are read."""

    def __init__(self, route: PushRoute, tenant: str, form: Form) -> None:
        self._route = route
        self._tenant = tenant
        self._form = form
        self.results: list[PushResult] = []
        self.parcels: list[Parcel] = []
        self.kinds: list[int] = []

    def add(self, body: bytes, quota: Quota) -> None:
        """Read the next push."""
        try:
            push, kind = self._route.read(self._tenant, body, self._form, quota)
        except Problem as problem:
            self.results.append(PushResult(problem.status, problem=describe_problem(problem)))
            return
        self.results.append(PushResult(202, push.id))
        self.parcels.extend(to_parcels(push))
        self.kinds.append(kind)


async def push_batch(
    context: ApiContext, route: PushRoute, tenant: str, body: bytes, form: Form, request_id: str
) -> Answer:
    """Return the answer to a batch: 200 with a result for each push, else a problem for all of them. Never raises."""
    batch = Batch(route, tenant, form)
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
        if batch.parcels:
            route.charge(quota, len(batch.kinds))
            await context.bus.publish(batch.parcels)
    except Problem as problem:
        return route.refuse(problem, request_id, count)
    except BusUnavailable as error:
        return route.refuse(Problem("bus_unavailable", str(error)), request_id, count)
    except Exception as error:
        return route.refuse(internal_error(error, request_id), request_id, count)
    for kind in batch.kinds:
        context.row[kind] += 1
    context.row[quota.pushes_slot] += len(batch.kinds)
    for result in batch.results:
        if result.status != 202:
            context.row[PUSHES_REFUSED.get(str(result.status), PUSHES_REFUSED["other"])] += 1
    return Answer(200, form.encode(BatchAnswered(batch.results)), (), form.media)


def _check_count(count: int, quota: Quota) -> None:
    """Raise Problem 400 for more pushes than the tenant may ever send at once."""
    most = min(quota.max_batch, quota.pushes_per_second or quota.max_batch)
    if count > most:
        raise bad_body(
            [("pushes", f"expected a list of 1 to {most:,} pushes, this tenant's limit, got a list of {count}")]
        )
