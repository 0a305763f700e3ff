import pytest

from pushgate.errors import ConfigError
from pushgate.inbox import Inbox, Options, create_inbox
from pushgate.inbox.memory import MemoryInbox
from pushgate.inbox.nats import NatsInbox
from pushgate.inbox.redis import RedisInbox
from pushgate.metrics.rows import Rows


def create(url: str) -> Inbox:
    return create_inbox(url, "prefix", Rows(1).row(0), Options())


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryInbox),
        ("nats://user:secret@a:4222,b", NatsInbox),
        ("tls://token@nats.example", NatsInbox),
        ("redis://user:secret@a:6379/1", RedisInbox),
        ("rediss://redis.example", RedisInbox),
        ("redis+sentinel://a,b/mymaster", RedisInbox),
        ("redis+cluster://a:6379,b", RedisInbox),
    ],
)
def test_the_scheme_picks_the_backend(url: str, kind: type) -> None:
    assert isinstance(create(url), kind)


@pytest.mark.parametrize("url", ["", "none", "bus", "embedded", "rocket://u:s3cret@host", "NATS://host"])
def test_an_unknown_scheme_is_a_config_error_that_tells_no_secret(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^inbox\.url: expected .*memory:, nats:, tls:") as caught:
        create(url)
    assert "s3cret" not in str(caught.value)


def test_a_bad_nats_url_is_a_config_error_that_names_the_inbox_and_tells_no_secret() -> None:
    with pytest.raises(ConfigError, match=r"^inbox\.url: expected nats://") as caught:
        create("nats://u:s3cret@host/path")
    assert "s3cret" not in str(caught.value)


def test_a_bad_redis_url_is_a_config_error_that_names_the_inbox_and_tells_no_secret() -> None:
    with pytest.raises(ConfigError, match=r"^inbox\.url: expected a database number") as caught:
        create("redis://u:s3cret@host/path")
    assert "s3cret" not in str(caught.value)
