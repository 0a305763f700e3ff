import asyncio

import pytest

from pushgate.metrics.catalogue import DIRECTORY_CURRENT, DIRECTORY_ENTRIES
from pushgate.metrics.rows import Rows
from pushgate.routing.base import key_of
from pushgate.routing.directory import GROUP, LEASE_RENEWAL, REMOVAL, RENEWAL, SETTLED, Directory
from tests.fakes.registry import FakeRegistry
from tests.fakes.subscriber import until

ANNA, BERT = key_of("acme", "anna"), key_of("acme", "bert")


class Scene:
    """A directory that is current, on a registry of its own; `let_in` are those who were, in their order."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.row = Rows(1).row(0)
        self.directory = Directory(self.registry, self.row)
        self.let_in: list[str] = []

    async def begin(self) -> None:
        self.directory.start()
        self.directory.tick()
        await until(lambda: self.directory.current)
        await self.rest()

    def admit(self, uid: str) -> None:
        def enter() -> None:
            self.let_in.append(uid)
            self.directory.enter("acme", uid)

        self.directory.admit("acme", uid, enter)

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.directory.tick()

    async def rest(self) -> None:
        """Wait until nothing is being written."""
        async with asyncio.timeout(5):
            while self.directory._writer is not None:
                await asyncio.sleep(0)


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.begin()
    return scene


async def test_a_user_is_let_in_once_there_is_an_entry_and_from_then_on_at_once(scene: Scene) -> None:
    scene.admit("anna")
    scene.admit("bert")
    assert scene.let_in == []
    await until(lambda: scene.let_in == ["anna", "bert"])
    assert scene.registry.writes == [([ANNA, BERT], [])], "what comes in one turn goes together"
    scene.admit("anna")
    assert scene.let_in == ["anna", "bert", "anna"]
    await scene.rest()
    assert len(scene.registry.writes) == 1
    scene.tick()
    assert scene.row[DIRECTORY_ENTRIES] == 2


async def test_who_comes_while_a_group_is_written_goes_with_it_or_with_the_next(scene: Scene) -> None:
    scene.registry.stall()
    scene.admit("anna")
    await asyncio.sleep(0)
    scene.admit("anna")
    scene.admit("bert")
    await asyncio.sleep(0)
    assert scene.let_in == []
    scene.registry.go_on()
    await until(lambda: len(scene.let_in) == 3)
    assert scene.let_in == ["anna", "anna", "bert"]
    assert scene.registry.writes == [([ANNA], []), ([BERT], [])]


async def test_a_storm_is_written_in_groups(scene: Scene) -> None:
    users = [f"user{number}" for number in range(3 * GROUP + 1)]
    for user in users:
        scene.admit(user)
    await until(lambda: scene.let_in == users)
    assert [len(held) for held, _ in scene.registry.writes] == [GROUP, GROUP, GROUP, 1]


async def test_an_entry_is_removed_a_while_after_the_last_session_unless_the_user_is_back(scene: Scene) -> None:
    scene.admit("anna")
    scene.admit("bert")
    await scene.rest()
    scene.directory.leave("acme", "anna")
    scene.directory.leave("acme", "bert")
    scene.tick(REMOVAL - 1)
    scene.admit("bert")
    assert scene.let_in[-1] == "bert"
    scene.tick()
    await scene.rest()
    assert scene.registry.held() == {BERT}
    scene.admit("anna")
    await until(lambda: scene.let_in[-1] == "anna")
    assert scene.registry.held() == {ANNA, BERT}


async def test_who_comes_back_while_the_entry_is_removed_has_one_in_the_end(scene: Scene) -> None:
    scene.admit("anna")
    await scene.rest()
    scene.directory.leave("acme", "anna")
    scene.tick(REMOVAL - 1)
    scene.registry.stall()
    scene.tick()
    await asyncio.sleep(0)
    scene.admit("anna")
    scene.registry.go_on()
    await until(lambda: len(scene.let_in) == 2)
    await scene.rest()
    assert scene.registry.held() == {ANNA}


async def test_while_the_registry_is_away_nobody_waits_and_then_all_is_written_anew(scene: Scene) -> None:
    scene.admit("anna")
    await scene.rest()
    scene.registry.stall()
    scene.admit("bert")
    await asyncio.sleep(0)
    scene.registry.go_away()
    await until(lambda: scene.let_in == ["anna", "bert"])
    assert not scene.directory.current
    scene.tick()
    assert scene.row[DIRECTORY_CURRENT] == 0
    scene.admit("carl")
    assert scene.let_in == ["anna", "bert", "carl"]
    scene.directory.leave("acme", "anna")
    scene.tick(REMOVAL)
    scene.registry.come_back()
    scene.tick()
    await until(lambda: scene.directory.current)
    assert scene.registry.held() == {BERT, key_of("acme", "carl")}
    assert not scene.directory.settled, "the others may not have written theirs"
    scene.tick(SETTLED)
    assert scene.directory.settled


async def test_a_storm_that_waited_in_vain_is_let_in_a_part_at_a_time(scene: Scene) -> None:
    users = [f"user{number}" for number in range(3 * GROUP)]
    scene.registry.stall()
    for user in users:
        scene.admit(user)
    await asyncio.sleep(0)
    scene.registry.go_away()
    counts = []
    async with asyncio.timeout(5):
        while len(scene.let_in) < len(users):
            await asyncio.sleep(0)
            counts.append(len(scene.let_in))
    assert scene.let_in == users
    assert max(after - before for before, after in zip([0, *counts], counts, strict=False)) <= 2 * GROUP


async def test_who_comes_before_the_loss_is_known_is_let_in_too(scene: Scene) -> None:
    scene.registry.go_away()
    scene.admit("anna")
    assert scene.let_in == ["anna"]
    assert not scene.directory.current


async def test_a_lease_that_is_gone_means_that_everything_is_written_anew(scene: Scene) -> None:
    users = [f"user{number}" for number in range(2 * GROUP)]
    for user in users:
        scene.admit(user)
    await scene.rest()
    scene.registry.entries.clear()
    scene.registry.has_lease = False
    scene.tick(LEASE_RENEWAL)
    await until(lambda: len(scene.registry.held()) == len(users))
    await until(lambda: scene.directory.current)
    assert scene.registry.renewals >= 1


async def test_a_loss_during_a_write_has_it_repeated(scene: Scene) -> None:
    scene.registry.stall()
    scene.admit("anna")
    await asyncio.sleep(0)
    scene.registry.come_back()  # another connection already
    scene.registry.go_on()
    await until(lambda: len(scene.registry.writes) == 2)
    assert scene.registry.writes == [([ANNA], []), ([ANNA], [])]
    await until(lambda: scene.directory.current)


async def test_entries_are_written_again_in_time_and_a_few_at_once(scene: Scene) -> None:
    users = [f"user{number}" for number in range(1000)]
    for user in users:
        scene.admit(user)
    await scene.rest()
    before = len(scene.registry.writes)
    for _ in range(2 * RENEWAL - 2):  # one tick was before
        scene.tick()
        await scene.rest()
    written = [key for held, _ in scene.registry.writes[before:] for key in held]
    assert len(written) == 1000
    assert set(written) == {key_of("acme", user) for user in users}
    assert max(len(held) for held, _ in scene.registry.writes[before:]) <= 1


async def test_what_goes_to_another_process_is_not_removed(scene: Scene) -> None:
    scene.admit("anna")
    scene.admit("bert")
    await scene.rest()
    scene.directory.freeze()
    scene.directory.leave("acme", "anna")
    scene.directory.leave("acme", "bert")
    scene.tick(2 * REMOVAL)
    await scene.rest()
    assert scene.registry.held() == {ANNA, BERT}
    scene.directory.enter("acme", "bert")  # it came back
    scene.directory.thaw()
    scene.tick()
    await scene.rest()
    assert scene.registry.held() == {BERT}


async def test_those_who_wait_are_let_in_when_nobody_is_to_come_any_more(scene: Scene) -> None:
    scene.registry.stall()
    scene.admit("anna")
    await asyncio.sleep(0)
    scene.admit("bert")
    scene.directory.let_in()
    assert scene.let_in == ["anna", "bert"]
    scene.registry.go_on()
    await scene.rest()
    assert scene.let_in == ["anna", "bert"]


async def test_one_who_fails_keeps_nobody_out(scene: Scene) -> None:
    def fail() -> None:
        raise RuntimeError

    scene.directory.admit("acme", "anna", fail)
    scene.admit("bert")
    await until(lambda: scene.let_in == ["bert"])
    scene.admit("carl")
    await until(lambda: scene.let_in == ["bert", "carl"])


async def test_stopping_is_prompt(scene: Scene) -> None:
    scene.registry.stall()
    scene.admit("anna")
    await asyncio.sleep(0)
    await asyncio.wait_for(scene.directory.stop(), 1)
