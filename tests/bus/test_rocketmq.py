"""What only RocketMQ has: name servers, several brokers, a store that may be wiped, ACL and TLS, topics."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

from pushgate.bus.base import Parcel
from pushgate.bus.rocketmq import LIMIT, RocketMqBus
from pushgate.errors import BusUnavailable, Problem
from pushgate.rocketmq import topic as rocketmq_topic
from tests.fakes.rocketmq import Broker, NameServer, RealRocketMq
from tests.fakes.scripted_rocketmq import ScriptedRocketMq
from tests.fakes.subscriber import Subscriber, until
from tests.rig.certificates import Authority


@asynccontextmanager
async def running(bus: RocketMqBus, shards: Iterable[int] = range(256)) -> AsyncIterator[Subscriber]:
    subscriber = Subscriber()
    await asyncio.wait_for(bus.start(shards, subscriber.receive, subscriber.on_gap), 30)
    try:
        yield subscriber
    finally:
        await bus.stop()


def whole(bus: RocketMqBus) -> bool:
    """Whether it follows all its brokers."""
    return all(lane.link is not None for lane in bus._topic.lanes.values())


class Cluster:
    """Two name servers and two brokers."""

    def __init__(self, path: Path) -> None:
        self.name_servers = [NameServer(path / f"name-server-{number}") for number in (1, 2)]
        self.brokers = [Broker(path / f"broker-{name}", name, self.name_servers) for name in ("a", "b")]
        self.servers = [*self.name_servers, *self.brokers]
        self.restore()

    @property
    def url(self) -> str:
        return "rocketmq://" + ",".join(f"127.0.0.1:{server.port}" for server in self.name_servers)

    def restore(self) -> None:
        """Have all of them run."""
        for server in self.servers:
            if not server.alive:
                server.begin()
        for broker in self.brokers:
            broker.wait_for(broker.is_ready)

    def close(self) -> None:
        for server in self.servers:
            server.kill()


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("rocketmq-cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(one_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(rocketmq_topic, "CALM", 0.2)
    monkeypatch.setattr(rocketmq_topic, "SOON", 0.2)
    one_cluster.restore()
    return one_cluster


async def test_a_payload_over_the_limit_is_told_before_any_of_its_group_goes_out(rocketmq: RealRocketMq) -> None:
    bus = RocketMqBus(rocketmq.url)
    async with running(bus) as subscriber:
        with pytest.raises(Problem, match=f"takes {LIMIT} bytes at most"):
            await bus.publish([Parcel(0, b"small"), Parcel(0, bytes(LIMIT + 1))])
        await bus.publish([Parcel(0, bytes(LIMIT))])
        await subscriber.has(1)
        assert [len(payload) for payload in subscriber.received] == [LIMIT]


async def test_a_broker_that_dies_is_left_for_another_and_taken_up_again(cluster: Cluster) -> None:
    bus, other = RocketMqBus(cluster.url, "failover"), RocketMqBus(cluster.url, "failover")
    confirmed: list[bytes] = []
    numbers = itertools.count()

    async def publish(count: int) -> None:
        enough = len(confirmed) + count
        while len(confirmed) < enough:
            number = next(numbers)
            try:
                await bus.publish([Parcel(None if number % 3 else 7, b"%d" % number)])
                confirmed.append(b"%d" % number)
            except BusUnavailable:
                await asyncio.sleep(0.01)

    async with running(bus, [7]) as subscriber, running(other, [7]) as second:
        await publish(100)
        for broker in cluster.brokers:  # it is on one of them, and on the other after that
            broker.kill()
            await until(lambda: not whole(bus) and bus.connected, 5)
            await publish(100)
            await asyncio.to_thread(broker.start)
            await until(lambda: whole(bus) and whole(other))
        await bus.publish([])
        await other.publish([])
        for each in (subscriber, second):
            received = [int(payload) for payload in each.received]
            assert len(set(received)) == len(received), "nothing arrives twice"
            assert each.gaps or set(confirmed) <= set(each.received), "what is missing is told"
            assert received == sorted(received), "what is late is left out"


async def test_name_servers_may_die_once_the_brokers_are_known(cluster: Cluster) -> None:
    bus = RocketMqBus(cluster.url, "names")
    async with running(bus) as subscriber:
        lanes = bus._topic.lanes
        await until(lambda: len(lanes) == 2 and all(lane.takes for lane in lanes.values()))
        for server in cluster.name_servers:
            server.kill()
        await bus.publish([Parcel(1, b"without any")])
        await subscriber.has(1)
        cluster.brokers[0].kill()
        await until(lambda: not whole(bus) and bus.connected, 5)
        await bus.publish([Parcel(1, b"without any and one broker less")])
        await subscriber.has(2)
        await asyncio.to_thread(cluster.restore)
        await until(lambda: whole(bus))
    cluster.name_servers[0].kill()
    async with running(RocketMqBus(cluster.url, "names")):
        pass  # the second one tells


async def test_a_wiped_store_is_a_gap_and_its_topic_made_again(cluster: Cluster) -> None:
    bus, other = RocketMqBus(cluster.url, "wiped"), RocketMqBus(cluster.url, "wiped")
    async with running(bus) as subscriber, running(other) as second:
        for number in range(20):
            await bus.publish([Parcel(0, b"%d" % number)])
            await other.publish([Parcel(0, b"other %d" % number)])
        await subscriber.has(40)
        for broker in cluster.brokers:
            broker.wipe()
        await until(lambda: not bus.connected and not other.connected, 5)
        await asyncio.to_thread(cluster.restore)
        await until(lambda: whole(bus) and whole(other))
        await bus.publish([Parcel(None, b"after")])
        for each in (subscriber, second):
            await until(lambda each=each: each.received[-1:] == [b"after"])  # type: ignore[misc]
            assert each.gaps >= 1


async def test_a_broker_added_later_is_followed_from_when_the_subscription_began(
    cluster: Cluster, tmp_path: Path
) -> None:
    bus = RocketMqBus(cluster.url, "growing")
    async with running(bus) as subscriber:
        late = Broker(tmp_path / "late", "late", cluster.name_servers)
        try:
            await asyncio.to_thread(late.start)
            for broker in cluster.brokers:
                broker.kill()  # so that the topic has to be made on the new one
            await until(lambda: not bus.connected, 5)
            other = RocketMqBus(cluster.url, "growing")
            async with running(other):
                await other.publish([Parcel(3, b"by the new one")])
            await subscriber.has(1, 10)
            assert subscriber.received == [b"by the new one"]
        finally:
            late.kill()


async def test_a_topic_that_may_not_be_made_is_told_with_what_to_do() -> None:
    async with ScriptedRocketMq() as server:
        places = {"brokerAddrs": {"0": f"127.0.0.1:{server.port}"}, "brokerName": "a"}
        queues = {"brokerName": "a", "perm": 6, "readQueueNums": 1, "writeQueueNums": 1}
        route = json.dumps({"brokerDatas": [places], "queueDatas": [queues]}).encode()
        server.answers[17] = (16, {}, b"")
        bus = RocketMqBus(f"rocketmq://127.0.0.1:{server.port}", "forbidden")
        with structlog.testing.capture_logs() as logs:
            start = asyncio.create_task(bus.start([0], lambda payload: None, lambda: None))
            while not any("mqadmin updateTopic -t forbidden" in str(line.get("reason")) for line in logs):
                for request in server.requests:
                    known = request.fields is not None and request.fields.get("topic") == "SELF_TEST_TOPIC"
                    if request.code == 105:
                        server.answer(request, 0 if known else 17, {}, route if known else b"")
                server.requests = [request for request in server.requests if request.code != 105]
                await asyncio.sleep(0.01)
            await bus.stop()
            with pytest.raises(BusUnavailable):
                await start


class Secured:
    """A name server and a broker that speak TLS alone and let nobody in without a signature."""

    def __init__(self, path: Path) -> None:
        authority = Authority()
        certificate, key = authority.write(path, "server")
        self.ca = path / "ca.pem"
        self.ca.write_bytes(authority.pem)
        tls = path / "tls.properties"
        settings = {"server.mode": "enforcing", "server.certPath": certificate, "server.keyPath": key}
        client = {"client.authServer": "false", "client.trustCertPath": str(self.ca)}
        lines = {"tls.test.mode.enable": "false"} | {
            f"tls.{name}": value for name, value in (settings | client).items()
        }
        tls.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        options = (f"-Dtls.config.file={tls}", "-Dtls.server.mode=enforcing", "-Dtls.enable=true")
        user = json.dumps({"username": "gateway", "password": "p4ssw0rd"})
        inner = json.dumps({"accessKey": "gateway", "secretKey": "p4ssw0rd"})
        package = "org.apache.rocketmq.auth.authentication.provider"
        self.name_server = NameServer(path / "name-server", options)
        self.broker = Broker(
            path / "broker",
            "secured",
            [self.name_server],
            options,
            authenticationEnabled="true",
            authenticationProvider=f"{package}.DefaultAuthenticationProvider",
            authenticationMetadataProvider=f"{package}.LocalAuthenticationMetadataProvider",
            initAuthenticationUser=user,
            innerClientAuthenticationCredentials=inner,
        )
        self.name_server.begin()
        self.broker.begin()

    def url(self, secret: str) -> str:
        return f"rocketmq://gateway:{secret}@localhost:{self.name_server.port}?tls=on&ca={quote(str(self.ca))}"

    def close(self) -> None:
        self.broker.kill()
        self.name_server.kill()


async def test_signed_and_over_tls(tmp_path: Path) -> None:
    secured = Secured(tmp_path)
    try:
        bus = RocketMqBus(secured.url("p4ssw0rd"))
        async with running(bus) as subscriber:
            await bus.publish([Parcel(1, b"secret"), Parcel(None, b"too")])
            await subscriber.has(2)
        with structlog.testing.capture_logs() as logs:
            wrong = RocketMqBus(secured.url("wrong"))
            start = asyncio.create_task(wrong.start([0], lambda payload: None, lambda: None))
            await until(lambda: any("check signature failed" in str(line.get("reason")) for line in logs))
            await wrong.stop()
            with pytest.raises(BusUnavailable):
                await start
    finally:
        secured.close()
