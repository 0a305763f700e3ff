import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import settings

from tests.fakes.rocketmq import RealRocketMq
from tests.fakes.zookeeper import RealZooKeeper
from tests.rig.client import WsClient
from tests.rig.events import EventStream
from tests.rig.gateway import Gateway
from tests.rig.network import leave_network

if TYPE_CHECKING:  # a machine may have no playwright, and most tests need none
    from tests.rig.browser import Browser, Tabs

# How long an example takes says more of who else is on the machine than of the code.
settings.register_profile("pushgate", deadline=None)
settings.load_profile("pushgate")


def pytest_configure() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nodes are told to reload by it, and what nohup ignores stays so
    if "PYTEST_XDIST_WORKER" in os.environ:
        leave_network()


@pytest_asyncio.fixture
async def make_gateway() -> AsyncIterator[Callable[..., Gateway]]:
    """Make gateways of given limits and client settings; they are stopped after the test, and all clients closed."""
    made: list[Gateway] = []

    def make(**settings: Any) -> Gateway:
        made.append(Gateway(**settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()
    await WsClient.close_all()
    await EventStream.close_all()


@pytest.fixture(scope="session")
def shared_rocketmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRocketMq]:
    """The one name server and broker of a whole run: starting them takes seconds."""
    server = RealRocketMq(tmp_path_factory.mktemp("rocketmq"))
    yield server
    server.close()


@pytest.fixture
def rocketmq(shared_rocketmq: RealRocketMq) -> RealRocketMq:
    """A RocketMQ that runs, whatever the test before did to it; it has what tests before have stored."""
    shared_rocketmq.restore()
    return shared_rocketmq


@pytest_asyncio.fixture
async def gateway(make_gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway with the default settings."""
    return make_gateway()


@pytest.fixture(scope="session")
def shared_zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealZooKeeper]:
    """One for all tests, since a Java program takes its time to start."""
    server = RealZooKeeper(tmp_path_factory.mktemp("zookeeper"))
    yield server
    server.close()


@pytest.fixture
def zookeeper(shared_zookeeper: RealZooKeeper) -> RealZooKeeper:
    """A ZooKeeper that is alive, and a node of its own to be under."""
    shared_zookeeper.renew()
    return shared_zookeeper


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    """A headless Chromium."""
    from tests.rig.browser import launch

    async with launch() as chromium:
        yield chromium


@pytest_asyncio.fixture(loop_scope="module")
async def tabs(browser: "Browser", page_url: str) -> AsyncIterator["Tabs"]:
    """Tabs for the page that the directory's `page_url` names, which must not complain."""
    from tests.rig.browser import Tabs

    opened = Tabs(browser, page_url)
    yield opened
    await opened.close()
    assert opened.complaints == []
