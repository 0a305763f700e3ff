"""Each backend against memory: whatever is appended, collapsed, expired and read, both say the same."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pushgate.inbox import EVERYONE, Appended, Draft, Entry, Inbox, Limits, Options, Outcome, Refused, create_inbox
from pushgate.inbox.memory import MemoryInbox
from pushgate.metrics.rows import Rows
from tests.contract.conftest import SERVERS
from tests.fakes.subscriber import until

LONG, SHORT = 3600, 2
UIDS = ["alice", "bob", EVERYONE]
LIMITS = Limits(0, 5)

DRAFTS = st.builds(
    Draft,
    uid=st.sampled_from(UIDS),
    id=st.integers(0, 12).map(str),
    payload=st.binary(max_size=20),
    ttl=st.sampled_from([LONG, LONG, SHORT]),
    collapse=st.sampled_from([None, None, "one", "two"]),
)
Append = list[Draft]
Read = tuple[str, float, int]
Steps = list[Append | Read]
APPEND = st.lists(DRAFTS, min_size=1, max_size=12)
READ = st.tuples(st.sampled_from(UIDS), st.floats(0, 1), st.integers(1, 10))
STEPS = st.lists(APPEND | READ, min_size=1, max_size=10)
CASES = st.lists(st.tuples(STEPS, STEPS), min_size=8, max_size=8)
"""What is done in each of some tenants before and after the short ttl has passed: together, since it takes its time."""


class Pair:
    """A tenant of an inbox and of the model, which get the same. Offsets are compared by their order."""

    def __init__(self, tenant: str, inbox: Inbox, model: MemoryInbox) -> None:
        self.tenant = tenant
        self.inbox = inbox
        self.model = model
        self.offsets = {0: 0}  # the model's by the inbox's

    async def run(self, steps: Steps) -> None:
        for step in (*steps, ("alice", 0.0, 100), ("bob", 0.0, 100)):
            if isinstance(step, list):
                await self._append(step)
            else:
                await self._read(*step)

    async def _append(self, drafts: Append) -> None:
        expected = await self.model.append(self.tenant, drafts)
        outcomes = await self.inbox.append(self.tenant, drafts)
        for outcome, model in zip(outcomes, expected, strict=True):
            if isinstance(outcome, Appended) and isinstance(model, Appended) and not model.duplicate:
                assert outcome.offset > max(self.offsets)
                self.offsets[outcome.offset] = model.offset
        assert [self._plain(outcome) for outcome in outcomes] == [
            model.code if isinstance(model, Refused) else model for model in expected
        ]

    def _plain(self, outcome: Outcome) -> object:
        if isinstance(outcome, Appended):
            return outcome._replace(offset=self.offsets[outcome.offset])
        return outcome.code if isinstance(outcome, Refused) else outcome

    async def _read(self, uid: str, place: float, limit: int) -> None:
        known = sorted(self.offsets)
        after = known[int(place * (len(known) - 1))]
        expected = await self.model.read(self.tenant, uid, self.offsets[after], limit)
        assert self.in_model(await self.inbox.read(self.tenant, uid, after, limit)) == expected

    def in_model(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return entries as the model has them."""
        return [entry._replace(offset=self.offsets[entry.offset]) for entry in entries]

    async def settle(self) -> None:
        """Wait until what has expired in the model is gone from the server too."""
        async with asyncio.timeout(10):
            for uid in UIDS:
                expected = await self.model.read(self.tenant, uid, 0, 1000)
                while self.in_model(await self.inbox.read(self.tenant, uid, 0, 1000)) != expected:
                    await asyncio.sleep(0.05)

    async def check_followed(self, followed: list[Entry], seen: list[Entry]) -> None:
        """What is followed is in order and as it was appended, and only what expired or was collapsed may lack."""
        (end,) = await self.inbox.append(self.tenant, [Draft(EVERYONE, "end", b"end", LONG, "end")])
        assert isinstance(end, Appended)
        await until(lambda: any(entry[:3] == (self.tenant, EVERYONE, end.offset) for entry in followed))
        own = self.in_model([entry for entry in followed if entry.tenant == self.tenant][:-1])
        places = [seen.index(entry) for entry in own]
        assert places == sorted(set(places))
        left = [await self.model.read(self.tenant, uid, 0, 1000) for uid in UIDS]
        assert {entry for log in left for entry in log} <= set(own)


class Rig:
    """Both inboxes, and the model's clock."""

    def __init__(self, url: str) -> None:
        self.now = 1e9
        self.inbox = create_inbox(url, "pushgate", Rows(1).row(0), Options())
        self.model = MemoryInbox("memory:", "", Rows(1).row(0), Options(), clock=lambda: self.now)
        self.followed: list[Entry] = []
        self.seen: list[Entry] = []
        self._numbers = count()

    async def start(self) -> None:
        await self.inbox.start(range(256), self.followed.append, lambda tenant: None)
        await self.model.start(range(256), self.seen.append, lambda tenant: None)

    async def run(self, cases: Sequence[tuple[Steps, Steps]]) -> None:
        pairs = [Pair(f"tenant-{next(self._numbers)}", self.inbox, self.model) for _ in cases]
        for inbox in (self.inbox, self.model):
            await inbox.open({pair.tenant: LIMITS for pair in pairs})
        for pair, (before, _) in zip(pairs, cases, strict=True):
            await pair.run(before)
        self.now += SHORT
        for pair in pairs:
            await pair.settle()
        for pair, (_, after) in zip(pairs, cases, strict=True):
            await pair.run(after)
            await pair.check_followed(self.followed, self.seen)


@pytest.fixture(params=["nats", "redis"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Rig]]:
    server = SERVERS[request.param](tmp_path / "data")
    with asyncio.Runner() as runner:
        rig = Rig(server.url)
        runner.run(rig.start())
        yield runner, rig
        runner.run(rig.inbox.stop())
    server.close()


def test_it_does_as_the_model(rig: tuple[asyncio.Runner, Rig]) -> None:
    runner, both = rig

    @settings(
        max_examples=3,
        deadline=None,
        phases=[Phase.reuse, Phase.generate],  # each takes seconds: too long to shrink
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES)
    def run(cases: list[tuple[Steps, Steps]]) -> None:
        runner.run(both.run(cases))

    run()
