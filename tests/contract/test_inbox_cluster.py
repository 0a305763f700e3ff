"""The inbox with three copies: what it promises while a server of the cluster dies, and where one lags behind."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from pushgate.config import ClusterConfig, Config, NodeConfig
from pushgate.inbox import Device, Draft, Options, create_inbox
from pushgate.inbox.nats import NatsInbox
from pushgate.inbox.nats_stream import call_api
from pushgate.metrics.rows import Rows
from pushgate.node.embedded.cluster import member_of
from tests.contract.test_inbox_faults import Load, append_all, check, read_all
from tests.fakes.follower import TENANT, following
from tests.fakes.nats import PlainNats, RealNats, free_ports
from tests.fakes.subscriber import until

NAMES = ["a", "b", "c"]


Cluster = Mapping[str, PlainNats | RealNats]


@pytest.fixture(params=["plain", "embedded"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Three servers: an operator's own, and those that nodes bring along, with one password for the test's sake."""
    with (plain_cluster if request.param == "plain" else embedded_cluster)(tmp_path) as cluster:
        yield cluster


@contextmanager
def embedded_cluster(tmp_path: Path) -> Iterator[Cluster]:
    places = [f"127.0.0.1:{port}" for port in free_ports(len(NAMES))]
    with ExitStack() as stack:
        servers = {}
        for name, place in zip(NAMES, places, strict=True):
            home = tmp_path / name / "nats"
            home.mkdir(parents=True)
            (home / "password").write_text("sesame")
            config = Config(node=NodeConfig(name=name), cluster=ClusterConfig(places, place, "secret"))
            servers[name] = stack.enter_context(closing(RealNats(tmp_path / name, member_of(config))))
        yield servers


@contextmanager
def plain_cluster(tmp_path: Path) -> Iterator[Cluster]:
    ports = free_ports(len(NAMES))
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                closing(
                    PlainNats(
                        tmp_path / name,
                        f'server_name: {name}\njetstream: {{store_dir: "."}}\n'
                        f'cluster: {{name: c, listen: "127.0.0.1:{port}", routes: [{routes}]}}',
                    )
                )
            )
            for name, port in zip(NAMES, ports, strict=True)
        }


def make(cluster: Cluster) -> NatsInbox:
    url = "nats://pushgate:sesame@" + ",".join(f"127.0.0.1:{server.port}" for server in cluster.values())
    inbox = create_inbox(url, "p", Rows(1).row(0), Options(replicas=3))
    assert isinstance(inbox, NatsInbox)
    return inbox


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_the_leader_dies_and_nothing_is_lost_and_nothing_twice(cluster: Cluster) -> None:
    phone, tablet = Device(TENANT, "alice", "phone"), Device(TENANT, "alice", "tablet")
    inbox, other = make(cluster), make(cluster)
    async with following(inbox) as follower, following(other, shards=[]):
        load = Load(inbox)
        await load.has(300)
        await inbox.store_cursors({phone: (1, "e")})
        await other.store_cursors({phone: (9, "e")})
        await inbox.store_cursors({phone: (5, "e")})
        info = await call_api(await inbox._main.ready(), f"STREAM.INFO.p+inbox+{TENANT}")
        cluster[info["cluster"]["leader"]].close()
        await load.has(300, 30)
        await load.stop()
        await until(lambda: inbox.connected and other.connected)
        await check(inbox, load, follower)
        assert [cursor and cursor.offset for cursor in await other.load_cursors([phone])] == [9]
        await inbox.store_cursors({phone: (10, "e")})
        await other.store_cursors({phone: (8, "e"), tablet: (1, "e")})
        loaded = await inbox.load_cursors([phone, tablet])
        assert [cursor and cursor.offset for cursor in loaded] == [10, 1]
        assert await read_all(other, "user 3") == await read_all(inbox, "user 3")


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_what_was_answered_or_followed_is_read_though_a_copy_lags_behind(cluster: Cluster) -> None:
    inbox, other = make(cluster), make(cluster)
    async with following(inbox), following(other) as follower:
        for number in range(300):
            outcomes = await inbox.append(
                TENANT, [Draft("alice", f"{number} {each}", b"%d" % number, 60) for each in range(number % 20 + 1)]
            )
            assert len(outcomes) == number % 20 + 1
            for reader, last in ((inbox, b"%d" % number), (other, None)):
                seen = follower.entries[-1:] if last is None else []
                after = min([await reader.newest(TENANT) - 30, *(entry.offset - 1 for entry in seen)])
                log = await reader.read(TENANT, "alice", max(0, after), 1000)
                assert last is None or log[-1].payload == last
                assert not seen or seen[0] in log
                offsets = [entry.offset for entry in log]
                assert offsets == list(range(offsets[0], offsets[0] + len(offsets))) if offsets else True
        await append_all(inbox, b"end")
        await asyncio.wait_for(follower.has(1), 1)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_copies_are_raised_and_never_taken_away(cluster: Cluster) -> None:
    async def copies(wanted: int) -> int:
        url = "nats://pushgate:sesame@" + ",".join(f"127.0.0.1:{server.port}" for server in cluster.values())
        inbox = create_inbox(url, "p", Rows(1).row(0), Options(replicas=wanted))
        assert isinstance(inbox, NatsInbox)
        async with following(inbox):
            await append_all(inbox, b"%d" % wanted)
            info = await call_api(await inbox._main.ready(), f"STREAM.INFO.p+inbox+{TENANT}")
            assert await read_all(inbox, "alice")
            return int(info["config"]["num_replicas"])

    assert [await copies(wanted) for wanted in (1, 3, 1)] == [1, 3, 3]
