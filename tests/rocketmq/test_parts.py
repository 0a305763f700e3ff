"""The small parts: signatures, URLs, routes, and what is late."""

import pytest

from pushgate.errors import ConfigError
from pushgate.rocketmq.address import parse_url
from pushgate.rocketmq.publisher import Turns
from pushgate.rocketmq.routes import Spot, parse_route
from pushgate.rocketmq.signing import Credentials, sign


def test_a_signature_is_apaches() -> None:
    fields = sign({"b": "value1", "a": "value2"}, b"body", Credentials("key", "secret"))
    assert fields["AccessKey"] == "key"
    assert fields["Signature"] == "+g19HB0Gyss0Yuk+UohoIDRfw+Q=", "AclSigner.calSignature of rocketmq-client"


def test_a_url_has_all_parts() -> None:
    address = parse_url("rocketmq://who:s%3Acret@a,b:1234,[::1]:99/topic", "bus.url")
    assert address.name_servers == [("a", 9876), ("b", 1234), ("::1", 99)]
    assert address.topic == "topic"
    assert address.credentials == Credentials("who", "s:cret")
    assert address.tls() is None
    assert parse_url("rocketmq://a?tls=on", "bus.url").tls() is not None


@pytest.mark.parametrize(
    "url",
    [
        "rocketmq:",
        "rocketmq://",
        "rocketmq://a,,b",
        "rocketmq://a:port",
        "rocketmq://a:70000",
        "rocketmq://s3cret@a",
        "rocketmq://who:@a",
        "rocketmq://who:s3cret@a/top.ic",
        "rocketmq://who:s3cret@a/topic/more",
        "rocketmq://who:s3cret@a?tls=perhaps",
        "rocketmq://who:s3cret@a?pushes=a.b",
        "rocketmq://who:s3cret@a/same?pushes=same",
        "rocketmq://who:s3cret@a?what=else",
        "rocketmq://who:s3cret@a?ca=/nowhere",
        "rocketmq://who:s3cret@a?tls=on&ca=/nowhere",
        "rocketmq://who:s3cret@a?tls=on&key=/nowhere",
        "rocketmq://who:s3/cret@a",
    ],
)
def test_a_bad_url_is_a_config_error_that_tells_no_secret(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^bus\.url: ") as caught:
        parse_url(url, "bus.url")
    assert "s3" not in str(caught.value)


def test_a_route_tells_primaries_first_and_where_messages_may_go() -> None:
    body = b"""{
        "brokerDatas": [
            {"brokerName": "a", "cluster": "c", "brokerAddrs": {"1": "10.0.0.2:10911", "0": "10.0.0.1:10911"}},
            {"brokerName": "b", "cluster": "c", "brokerAddrs": {"1": "10.0.0.3:10911"}},
            {"brokerName": "d", "cluster": "c", "brokerAddrs": {"0": "10.0.0.4:10911"}}
        ],
        "filterServerTable": {},
        "queueDatas": [
            {"brokerName": "a", "perm": 6, "readQueueNums": 4, "writeQueueNums": 3, "topicSysFlag": 0},
            {"brokerName": "b", "perm": 6, "readQueueNums": 4, "writeQueueNums": 4, "topicSysFlag": 0},
            {"brokerName": "d", "perm": 4, "readQueueNums": 1, "writeQueueNums": 1, "topicSysFlag": 0}
        ]
    }"""
    assert parse_route(body) == {
        "a": Spot((("10.0.0.1", 10911), ("10.0.0.2", 10911)), 4, 3),
        "b": Spot((("10.0.0.3", 10911),), 4, 0),
        "d": Spot((("10.0.0.4", 10911),), 1, 0),
    }


def test_what_is_no_route_is_told() -> None:
    with pytest.raises(ValueError, match="not a route"):
        parse_route(b'{"queueDatas": 7}')


def test_what_was_sent_before_a_change_of_queue_is_late_once_something_newer_came() -> None:
    turns = Turns()
    assert [turns.is_late(origin) for origin in ("a.0", "b.0", "a.1", "a.0", "a.1", "b.0", "a.3", "a.2")] == [
        *[False] * 3,
        True,
        *[False] * 3,
        True,
    ]
