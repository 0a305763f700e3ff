"""What can happen to nodes, and between them: nothing reliable is lost or out of order, and live pushes are soon back.

Three nodes with an embedded cluster, each in a network namespace of its own, under steady live and reliable pushes from
every node; the devices connect to any of them. What the scene's `finish` asserts: each reliable push that was answered
2xx came to every device, in order; nobody was told that something is missing; each caller was answered in the end.
"""

import asyncio
from collections.abc import Awaitable, Callable

from tests.cluster.scene import Scene

RESUMED = 4.0
"""Seconds after a repair in which live pushes get through again: 1 to 2 where the machine is not busy with others."""

OTHERS = ("a", "b")


async def a_node_dies_and_comes_back(scene: Scene) -> None:
    assert scene.cluster.kill("c") >= 4
    await scene.fleet.goes_on()
    missing = scene.ask("a", "/v1/nodes").json()["missing"]
    assert missing == ["c"], "it is named, and not left out"
    await asyncio.to_thread(scene.cluster.start, "c")


async def a_node_is_cut_off_from_everybody(scene: Scene) -> None:
    scene.network.isolate("c")
    await scene.fleet.goes_on(100)


async def a_node_is_not_heard_by_the_others(scene: Scene) -> None:
    scene.network.cut([("c", other) for other in OTHERS])
    await scene.until(lambda: bool(scene.reasons("c")), "it says that it is not ready")
    await scene.fleet.goes_on()


async def a_node_does_not_hear_the_others(scene: Scene) -> None:
    scene.network.cut([(other, "c") for other in OTHERS])
    await scene.until(lambda: bool(scene.reasons("c")), "it says that it is not ready")
    await scene.fleet.goes_on()


async def a_node_is_slow_and_loses_packets(scene: Scene) -> None:
    scene.network.slow("c", 0.2, 5)
    await scene.fleet.goes_on(100)
    assert scene.reasons("a") == scene.reasons("b") == []


async def the_cluster_falls_apart_two_and_one(scene: Scene) -> None:
    """The one keeps its clients, and what is live goes on among them; it takes nothing reliable."""
    before = scene.live.connects["c"]
    scene.network.isolate("c", OTHERS)
    await scene.until(lambda: "no quorum: 1 of 3" in " ".join(scene.reasons("c")), "it says what it lacks")
    assert scene.reasons("a") == scene.reasons("b") == []
    await scene.fleet.goes_on()
    live = await asyncio.to_thread(scene.nodes["c"].push, "live-c", ["c", 0.0])
    assert live.status_code == 202
    assert scene.live.connects["c"] == before, "its clients were kept"


async def all_nodes_die_at_once(scene: Scene) -> None:
    """They come back one by one; the first says what it waits for."""
    scene.cluster.kill("a", "b", "c")
    scene.nodes["a"].launch()
    await scene.until(lambda: "no quorum: 1 of 3" in " ".join(scene.reasons("a")), "it says what it lacks")
    await asyncio.to_thread(scene.cluster.start, "b", "c")


FAILURES: list[Callable[[Scene], Awaitable[None]]] = [
    a_node_dies_and_comes_back,
    a_node_is_cut_off_from_everybody,
    a_node_is_not_heard_by_the_others,
    a_node_does_not_hear_the_others,
    a_node_is_slow_and_loses_packets,
    the_cluster_falls_apart_two_and_one,
    all_nodes_die_at_once,
]


async def test_whatever_fails_nothing_accepted_is_lost_and_all_is_soon_well_again(scene: Scene) -> None:
    for fail in FAILURES:
        await fail(scene)
        scene.network.repair()
        resumed = await scene.repaired(RESUMED)
        print(f"{fail.__name__}: live pushes everywhere {resumed:.1f} s after the repair", flush=True)
        for name in scene.nodes:
            await scene.until(lambda name=name: not scene.reasons(name), f"{name} is ready")  # type: ignore[misc]
        await scene.fleet.goes_on()
    await scene.finish()
