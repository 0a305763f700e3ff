import asyncio
from collections.abc import Sequence

import pytest
import structlog

from pushgate.bus.base import Parcel
from pushgate.messages.push import Push, decode_push
from pushgate.messages.shard import shard_of
from pushgate.metrics.catalogue import DIRECTED, FALLBACK
from pushgate.metrics.rows import Rows
from pushgate.routing.addressing import MANY, MOST_COPIED, Addressing, to_parcels
from pushgate.routing.base import key_of
from tests.fakes.registry import FakeRegistry


class Scene:
    """Addressing with three nodes that are there, of the homes 1 to 3."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.row = Rows(1).row(0)
        self.settled = True
        self.homes: frozenset[int] | None = frozenset({1, 2, 3})
        self.addressing = Addressing(self.registry, lambda: self.settled, lambda: self.homes, self.row)

    def hold(self, uid: str, *homes: int) -> None:
        self.registry.entries[key_of("acme", uid)] = set(homes)

    def counted(self) -> tuple[int, int, int]:
        """Return how many pushes went by the directory, and to every node for want of a registry, and of nodes."""
        return self.row[DIRECTED], self.row[FALLBACK["registry"]], self.row[FALLBACK["nodes"]]


@pytest.fixture
async def scene() -> Scene:
    return Scene()


def make(*uids: str, data: bytes = b"1", everyone: bool = False) -> Push:
    return Push("acme", None if everyone else list(uids), "id", "event", 1, data)


def places(parcels: Sequence[Parcel]) -> set[tuple[int | None, int | None, tuple[str, ...]]]:
    """Return where parcels go, and to whom."""
    return {(parcel.node, parcel.shard, tuple(decode_push(parcel.payload).uids or ())) for parcel in parcels}


async def test_a_push_goes_to_the_nodes_that_hold_the_user(scene: Scene) -> None:
    scene.hold("anna", 1)
    scene.hold("bert", 2, 3)
    assert places(await scene.addressing.address([make("anna")])) == {(1, shard_of("acme", "anna"), ("anna",))}
    shard = shard_of("acme", "bert")
    assert places(await scene.addressing.address([make("bert")])) == {(2, shard, ("bert",)), (3, shard, ("bert",))}
    assert await scene.addressing.address([make("nobody")]) == []
    assert scene.counted() == (3, 0, 0)


async def test_nodes_that_are_not_there_are_left_out(scene: Scene) -> None:
    scene.hold("anna", 4, 2, 5)
    assert [parcel.node for parcel in await scene.addressing.address([make("anna")])] == [2]


async def test_one_to_several_goes_to_each_node_with_its_own_users(scene: Scene) -> None:
    uids = [f"user{number}" for number in range(20)]
    for number, uid in enumerate(uids):
        scene.hold(uid, *((), (1,), (1, 2))[number % 3])
    parcels = await scene.addressing.address([make(*uids)])
    found = {(uid, node) for node, shard, group in places(parcels) for uid in group if shard == shard_of("acme", uid)}
    assert found == {(uid, 1) for number, uid in enumerate(uids) if number % 3} | {(uid, 2) for uid in uids[2::3]}
    assert len(parcels) == len({(parcel.node, parcel.shard) for parcel in parcels})


async def test_what_is_large_and_for_several_is_not_copied(scene: Scene) -> None:
    uids = [f"user{number}" for number in range(20)]
    for uid in uids:
        scene.hold(uid, 1, 2)
    (parcel,) = await scene.addressing.address([make(*uids, data=bytes(MOST_COPIED // 20))])
    assert (parcel.node, parcel.shard) == (None, None)


async def test_a_batch_keeps_its_order_and_asks_once(scene: Scene) -> None:
    scene.hold("anna", 1)
    scene.hold("bert", 2)
    pushes = [make("anna"), make(everyone=True), make("bert", "anna"), make("nobody")]
    parcels = await scene.addressing.address(pushes)
    assert [decode_push(parcel.payload).uids for parcel in parcels] == [["anna"], None, ["bert"], ["anna"]]
    assert [parcel.node for parcel in parcels] == [1, None, 2, 1]
    assert len(scene.registry.reads) == 1
    assert scene.counted() == (3, 0, 0)


async def test_pushes_of_one_turn_are_one_question(scene: Scene) -> None:
    for number in range(50):
        scene.hold(f"user{number}", number % 3 + 1)
    calls = (scene.addressing.address([make(f"user{number}")]) for number in range(50))
    answers = await asyncio.gather(*calls)
    assert [parcels[0].node for parcels in answers] == [number % 3 + 1 for number in range(50)]
    assert len(scene.registry.reads) == 1


@pytest.mark.parametrize("push", [make(everyone=True), make(*(f"user{number}" for number in range(MANY + 1)))])
async def test_everyone_and_very_many_are_never_asked_for(scene: Scene, push: Push) -> None:
    assert await scene.addressing.address([push]) == list(to_parcels(push))
    assert scene.registry.reads == []
    assert scene.counted() == (0, 0, 0)


async def test_where_the_directory_cannot_be_gone_by_a_push_goes_to_every_node(scene: Scene) -> None:
    push = make("anna", "bert")
    expected = list(to_parcels(push))
    scene.settled = False
    assert await scene.addressing.address([push]) == expected
    scene.settled, scene.homes = True, None
    assert await scene.addressing.address([push, make(everyone=True)]) == [*expected, *to_parcels(make(everyone=True))]
    assert scene.registry.reads == []
    assert scene.counted() == (0, 1, 1)
    scene.homes = frozenset({1})
    scene.registry.go_away()
    assert await scene.addressing.address([push]) == expected
    assert scene.counted() == (0, 2, 1)


async def test_a_registry_that_is_silent_delays_a_few_pushes_and_not_for_long(scene: Scene) -> None:
    scene.registry.stall()
    async with asyncio.timeout(1):
        assert await scene.addressing.address([make("anna")]) == list(to_parcels(make("anna")))
    call = scene.addressing.address([make("anna")])
    with pytest.raises(StopIteration):
        call.send(None)  # it waits for nothing
    scene.registry.go_on()
    scene.addressing.tick()
    assert await scene.addressing.address([make("anna")]) == []
    assert scene.counted() == (1, 2, 0)


async def test_a_caller_that_is_gone_disturbs_no_other(scene: Scene) -> None:
    scene.hold("bert", 1)
    scene.registry.stall()
    first, second = (asyncio.create_task(scene.addressing.address([make(uid)])) for uid in ("anna", "bert"))
    await asyncio.sleep(0)
    first.cancel()
    scene.registry.go_on()
    assert [parcel.node for parcel in await second] == [1]


async def test_it_says_when_pushes_go_to_every_node_and_when_no_longer(scene: Scene) -> None:
    with structlog.testing.capture_logs() as lines:
        for scene.settled, scene.homes in (
            (False, None),
            (True, frozenset({1})),
            (False, frozenset({1})),
            (False, None),
            (True, None),
            (True, frozenset({1})),
            (True, frozenset({1})),
        ):
            scene.addressing.tick()
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("pushes go to the nodes that hold their users", None),
        ("pushes go to every node", "the registry is away, or new"),
        ("pushes go to every node", "a node is not in the directory with all its users"),
        ("pushes go to the nodes that hold their users", None),
    ]
