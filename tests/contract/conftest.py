"""The backends that the contract is held against, on both event loops that workers and tests run on."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
import uvloop

from pushgate.bus import Bus, create_bus
from pushgate.inbox import Inbox, Options, create_inbox
from pushgate.metrics.rows import Rows
from tests.fakes.nats import RealNats
from tests.fakes.redis import RealRedis
from tests.fakes.rocketmq import RealRocketMq

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
    """A server that a backend uses. One that `keeps` messages is followed further after a loss: that is no gap."""

    @property
    def keeps(self) -> bool: ...

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def close(self) -> None: ...


SERVERS: dict[str, Callable[[Path], Server]] = {"nats": RealNats, "redis": RealRedis}


def bus_server_of(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """Return a server of its own for a test, or the one of the session where starting one takes seconds."""
    if name == "rocketmq":
        server: RealRocketMq = request.getfixturevalue("rocketmq")
        return server
    own = SERVERS[name](tmp_path / "data")
    request.addfinalizer(own.close)
    return own


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealNats]:
    """A bus that lives elsewhere: it can die, hang and come back, and many can be connected to it."""
    server = RealNats(tmp_path / "data")
    yield server
    server.close()


@pytest.fixture(params=["nats", "redis", "rocketmq"])
def bus_server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """A bus that lives elsewhere: it can die, hang and come back, and many can be connected to it."""
    return bus_server_of(request.param, request, tmp_path)


@pytest.fixture(params=["memory", "nats", "redis", "rocketmq"])
def new_bus(request: pytest.FixtureRequest, tmp_path: Path) -> BusMaker:
    """Make a bus; with `memory` each is alone, so that its one subscriber is its publisher."""
    url = "memory:" if request.param == "memory" else bus_server_of(request.param, request, tmp_path).url
    return lambda: create_bus(url)


@pytest.fixture(params=["memory", "nats"])
def new_inbox(request: pytest.FixtureRequest) -> InboxMaker:
    """Make an inbox with options; with `memory` each is alone."""
    url = "memory:"
    if request.param == "nats":
        server: RealNats = request.getfixturevalue("server")
        url = server.url
    return lambda **options: create_inbox(url, "pushgate", Rows(1).row(0), Options(**options))
