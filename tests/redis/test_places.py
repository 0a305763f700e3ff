"""What a URL says of Redis; with real servers: whom it lets in, and who is found behind Sentinels and in a cluster."""

import asyncio
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pushgate.bus import Parcel, create_bus
from pushgate.errors import ConfigError
from pushgate.inbox import Draft, Options, create_inbox
from pushgate.metrics.rows import Rows
from pushgate.redis.link import RedisLink
from pushgate.redis.places import Finder, parse_url
from tests.contract.test_inbox_faults import Load, check
from tests.fakes.follower import TENANT, following
from tests.fakes.nats import free_ports
from tests.fakes.redis import RealCluster, RealRedis, RealSentinel
from tests.fakes.subscriber import Subscriber, until
from tests.rig.certificates import the_authority


def test_servers_their_one_user_and_the_database() -> None:
    address = parse_url("redis://us%40er:p%3Fw@a,b:1,[::1]/3", "bus.url")
    assert address.places == [("a", 6379), ("b", 1), ("::1", 6379)]
    assert (address.kind, address.user, address.password, address.database) == ("plain", "us@er", "p?w", 3)
    assert address.tls() is None
    alone = parse_url("rediss://secret@a", "bus.url")
    assert (alone.user, alone.password, alone.tls() is None) == ("", "secret", False)


def test_sentinels_and_clusters() -> None:
    address = parse_url("redis+sentinel://:pw@a,b:1/my%20master?sentinel_user=u&sentinel_password=p%26", "bus.url")
    assert address.places == [("a", 26379), ("b", 1)]
    assert (address.kind, address.service, address.password) == ("sentinel", "my master", "pw")
    assert address.options == {"sentinel_user": "u", "sentinel_password": "p&"}
    cluster = parse_url("rediss+cluster://a:7000,b", "bus.url")
    assert (cluster.kind, cluster.places, cluster.secure) == ("cluster", [("a", 7000), ("b", 6379)], True)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis:", "expected a URL that begins with one of redis://"),
        ("redis://", "expected a URL"),
        ("http://a", "expected a URL"),
        ("redis://u:s3cret@a,,b", "but server 2 is not so"),
        ("redis://u:s3cret@a:port", "but server 1 is not so"),
        ("redis://u:s3cret@a/name", "expected a database number"),
        ("redis+cluster://u:s3cret@a/1", "expected no path"),
        ("redis+sentinel://u:s3cret@a", "expected the service's name"),
        ("redis://u:s3cret@a?sentinel_user=x", "expected ca, certificate, key behind the ?"),
        ("redis+sentinel://u:s3cret@a/it?cb=x", "expected ca, certificate, key, sentinel_user, sentinel_password"),
        ("redis+cluster://u:s3cret@a?ca=x", "expected rediss\\+cluster:// with ca or certificate"),
        ("rediss://u:s3cret@a?certificate=x", "expected certificate and key together"),
        ("rediss://u:s3cret@a?ca=/no/such", "a file of it cannot be used: .*No such file"),
    ],
)
def test_what_is_wrong_is_named_without_the_secret(url: str, error: str) -> None:
    with pytest.raises(ConfigError, match=rf"^inbox\.url: .*{error}") as caught:
        parse_url(url, "inbox.url")
    assert "s3cret" not in str(caught.value)


async def reach(url: str, key: str = "key") -> str:
    """Connect, and return to which server."""
    link = RedisLink("bus")
    try:
        await Finder(parse_url(url, "bus.url"), key, "bus").open(link)
        assert await link.ask(("PING",)) == [b"PONG"]
        return link.server
    finally:
        await link.close()


async def test_whom_a_server_lets_in(tmp_path: Path) -> None:
    with closing(RealRedis(tmp_path)) as server:
        server.say("ACL", "SETUSER", "me", "on", ">pass", "~*", "&*", "+@all")
        server.say("CONFIG", "SET", "requirepass", "sesame")
        for credentials in ("me:pass", "sesame", ":sesame"):
            assert await reach(f"redis://{credentials}@127.0.0.1:{server.port}/2") == f"127.0.0.1:{server.port}"
        for credentials in ("me:wrong", "wrong"):
            with pytest.raises(ConnectionError, match="WRONGPASS"):
                await reach(f"redis://{credentials}@127.0.0.1:{server.port}")
        with pytest.raises(ConnectionError, match="NOAUTH"):
            await reach(server.url)


async def test_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(the_authority().pem)
    certificate, key = the_authority().write(tmp_path, "own")
    (port,) = free_ports(1)
    options = ("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key)
    with closing(RealRedis(tmp_path / "data", *options, "--tls-ca-cert-file", str(authority))):
        url = f"rediss://localhost:{port}?ca={authority}"
        assert await reach(f"{url}&certificate={certificate}&key={key}") == f"localhost:{port}"
        with pytest.raises(OSError, match=r"(?i)certificate"):
            await reach(f"rediss://localhost:{port}")
        with pytest.raises(OSError):  # noqa: PT011 - what the server says of it depends on OpenSSL
            await reach(url)


async def test_one_of_several_is_tried_after_the_other_and_a_replica_is_not_taken(tmp_path: Path) -> None:
    with closing(RealRedis(tmp_path)) as server:
        (nobody,) = free_ports(1)
        finder = Finder(parse_url(f"redis://127.0.0.1:{server.port},127.0.0.1:{nobody}", "bus.url"), "{key}", "bus")
        links = [RedisLink("bus"), RedisLink("bus")]
        results = await asyncio.gather(*(finder.open(link) for link in links), return_exceptions=True)
        for link in links:
            await link.close()
        assert [result is None for result in results].count(True) == 1
        server.say("REPLICAOF", "127.0.0.1", str(nobody))
        with pytest.raises(ConnectionError, match="is a replica"):
            await reach(server.url)


async def test_sentinel_replaces_the_primary_and_bus_and_inbox_find_the_new_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(closing(RealRedis(tmp_path / "a")))
        replica = RealRedis(
            tmp_path / "b", "--replicaof", "127.0.0.1", str(primary.port), "--repl-diskless-sync-delay", "0"
        )
        stack.enter_context(closing(replica))
        await until(lambda: b"master_link_status:up" in replica.say("INFO", "replication"))
        sentinel = stack.enter_context(closing(RealSentinel(tmp_path / "s", primary)))
        await until(lambda: b"num-slaves\r\n$1\r\n1" in sentinel.say("SENTINEL", "MASTER", "it"))
        bus, subscriber = create_bus(sentinel.url), Subscriber()
        inbox = create_inbox(sentinel.url, "pushgate", Rows(1).row(0), Options())
        await bus.start([1], subscriber.receive, subscriber.on_gap)
        async with following(inbox) as follower:
            await bus.publish([Parcel(1, b"before")])
            await inbox.append(TENANT, [Draft("alice", "1", b"before", 60)])
            await until(lambda: b":1" in replica.say("EXISTS", "{pushgate}:inbox:acme"))
            before = inbox.epoch(TENANT)
            primary.kill()
            await until(lambda: bus.connected and inbox.connected and follower.epochs == [TENANT], 20)
            assert await reach(sentinel.url) == f"127.0.0.1:{replica.port}"
            await bus.publish([Parcel(1, b"after")])
            await until(lambda: subscriber.received == [b"before", b"after"])
            assert subscriber.gaps == 1
            assert inbox.epoch(TENANT) != before, "it may lack what the other had answered"
            await inbox.append(TENANT, [Draft("alice", "2", b"after", 60)])
            await until(lambda: follower.payloads[-1:] == [b"after"])
        await bus.stop()


async def test_a_slot_moves_and_bus_and_inbox_move_along(tmp_path: Path) -> None:
    with closing(RealCluster(tmp_path)) as cluster:
        bus, subscriber = create_bus(cluster.url), Subscriber()
        inbox = create_inbox(cluster.url, "pushgate", Rows(1).row(0), Options())
        await bus.start([1], subscriber.receive, subscriber.on_gap)
        async with following(inbox) as follower:
            await bus.publish([Parcel(1, b"before"), Parcel(None, b"all")])
            load = Load(inbox)
            await load.has(200)
            server = await reach(cluster.url, "{pushgate}")
            await asyncio.to_thread(cluster.move, "{pushgate}")
            assert await reach(cluster.url, "{pushgate}") != server
            await until(lambda: subscriber.gaps == 1 and bus.connected)
            await bus.publish([Parcel(1, b"after")])
            await until(lambda: subscriber.received == [b"before", b"all", b"after"])
            await load.has(200)
            await load.stop()
            await check(inbox, load, follower)
            assert load.unknown == set()
        await bus.stop()
