import sys

import pytest

from pushgate.bus import create_bus, create_feed
from pushgate.bus.memory import MemoryBus
from pushgate.bus.nats import NatsBus
from pushgate.bus.redis import RedisBus
from pushgate.bus.rocketmq import RocketMqBus
from pushgate.bus.zookeeper import ZooKeeperBus
from pushgate.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryBus),
        ("nats://localhost", NatsBus),
        ("nats://user:secret@a:4222,b:4223,nats://c", NatsBus),
        ("tls://token@nats.example", NatsBus),
        ("nats://[::1]:4222", NatsBus),
        ("redis://:secret@a:6379,b/2", RedisBus),
        ("rediss+cluster://user:secret@a,b", RedisBus),
        ("redis+sentinel://a,b/main", RedisBus),
        ("rocketmq://who:secret@a,b:1234/topic?tls=on", RocketMqBus),
        ("zookeeper://user:secret@a:2181,[::1]/a/chroot", ZooKeeperBus),
    ],
)
def test_the_scheme_picks_the_backend(url: str, kind: type) -> None:
    assert isinstance(create_bus(url, "prefix"), kind)


@pytest.mark.parametrize("url", ["", "nats", "embedded", "kafka://u:s3cret@host", "localhost:4222", "NATS://host"])
def test_an_unknown_scheme_is_a_config_error_that_tells_no_secret(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^bus\.url: expected .*memory:, nats:, tls:") as caught:
        create_bus(url)
    assert "s3cret" not in str(caught.value)


def test_a_feed_is_there_where_the_url_names_its_topic() -> None:
    assert create_feed("nats://a") is None
    assert create_feed("rocketmq://a/live") is None
    assert create_feed("rocketmq://a/live?pushes=orders") is not None
    with pytest.raises(ConfigError, match="another topic than the bus's"):
        create_feed("rocketmq://a?pushes=ours", "ours")


def test_a_backend_whose_extra_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)
    for name in [name for name in sys.modules if name.startswith(("pushgate.redis", "pushgate.bus.redis"))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"pip install 'pushgate\[redis\]'"):
        create_bus("redis://u:s3cret@host")


@pytest.mark.parametrize(
    "url",
    [
        "nats:",
        "nats://",
        "nats://host:port",
        "nats://host:70000",
        "nats://host/path",
        "nats://a,,b",
        "nats://u:s3cret@",
        "nats://u:s3,cret@host",
        "nats://u:s3/cret@host",
        "nats://[::1",
    ],
)
def test_a_bad_nats_url_is_a_config_error_that_tells_no_secret(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^bus\.url: expected nats://") as caught:
        create_bus(url)
    assert "s3" not in str(caught.value)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "zookeeper:",
        "zookeeper://",
        "zookeeper:///chroot",
        "zookeeper://host:port",
        "zookeeper://host:70000",
        "zookeeper://a,,b",
        "zookeeper://us3:cret@",
        "zookeeper://us3cret@host",
        "zookeeper://:s3cret@host",
        "zookeeper://host//a",
        "zookeeper://host/a/../b",
        "zookeeper://host/a?s3=cret",
    ],
)
def test_a_bad_zookeeper_url_is_a_config_error_that_tells_no_secret(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^bus\.url: expected ") as caught:
        create_bus(url)
    assert "s3" not in str(caught.value)
    assert "cret" not in str(caught.value)
