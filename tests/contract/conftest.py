"""The backends that the contract is held against, on both event loops that workers and tests run on."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest
import uvloop

from pushgate.bus import Bus, create_bus
from pushgate.inbox import Inbox, Options, create_inbox
from pushgate.inbox.memory import MemoryInbox
from pushgate.metrics.rows import Rows
from tests.fakes.nats import RealNats
from tests.fakes.redis import RealRedis
from tests.fakes.rocketmq import RealRocketMq
from tests.fakes.zookeeper import RealZooKeeper

BusMaker = Callable[[], Bus]
InboxMaker = Callable[..., Inbox]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have RocketMQ tested on the workers' loop alone: its broker takes seconds to start, and is killed often."""
    left_out = [item for item in items if "[asyncio-rocketmq" in item.name]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


class Server(Protocol):
    """A server that a backend uses."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def close(self) -> None: ...


class Store(Server, Protocol):
    """A server that keeps something, which can be taken from it."""

    def wipe(self) -> None: ...


STORES: dict[str, Callable[[Path], Store]] = {"nats": RealNats, "redis": RealRedis}
SERVERS: dict[str, Callable[[Path], Server]] = {**STORES, "zookeeper": RealZooKeeper, "rocketmq": RealRocketMq}


def gaps_after_a_loss(server: Server) -> int:
    """How many gaps a subscriber reports that lost the server and found it again: RocketMQ proves that it has all."""
    return 0 if isinstance(server, RealRocketMq) else 1


@contextmanager
def serving(name: str, request: pytest.FixtureRequest, path: Path) -> Iterator[Server]:
    """The server of a backend, for one test."""
    if name in ("zookeeper", "rocketmq"):
        yield request.getfixturevalue(name)  # that one is shared by all tests
    else:
        server = SERVERS[name](path / "data")
        yield server
        server.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealNats]:
    """A bus that lives elsewhere: it can die, hang and come back, and many can be connected to it."""
    server = RealNats(tmp_path / "data")
    yield server
    server.close()


@pytest.fixture(params=["nats", "redis", "zookeeper", "rocketmq"])
def bus_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A bus that lives elsewhere: it can die, hang and come back, and many can be connected to it."""
    with serving(request.param, request, tmp_path) as server:
        yield server


@pytest.fixture(params=["nats", "redis"])
def addressing_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A bus that lives elsewhere, and can address a node."""
    with serving(request.param, request, tmp_path) as server:
        yield server


@pytest.fixture(params=["nats", "redis"])
def inbox_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An inbox that lives elsewhere: it can die, hang and come back, and many can be connected to it."""
    server = STORES[request.param](tmp_path / "data")
    yield server
    server.close()


@pytest.fixture(params=["memory", "nats", "redis", "zookeeper", "rocketmq"])
def new_bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BusMaker]:
    """Make a bus; with `memory` each is alone, so that its one subscriber is its publisher."""
    if request.param == "memory":
        yield lambda: create_bus("memory:")
        return
    with serving(request.param, request, tmp_path) as server:
        yield lambda: create_bus(server.url)


@pytest.fixture(params=["memory", "nats", "redis"])
def new_inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InboxMaker]:
    """Make an inbox with options; with `memory` each is alone."""
    if request.param == "memory":
        yield lambda **options: create_inbox("memory:", "pushgate", Rows(1).row(0), Options(**options))
        return
    server = SERVERS[request.param](tmp_path / "data")
    yield lambda **options: create_inbox(server.url, "pushgate", Rows(1).row(0), Options(**options))
    server.close()


@pytest.fixture
def two_inboxes(new_inbox: InboxMaker) -> tuple[Inbox, Inbox]:
    """Two processes' inboxes, where one sees what the other stored; with `memory` it is one that both use."""
    one = new_inbox()
    return one, one if isinstance(one, MemoryInbox) else new_inbox()
