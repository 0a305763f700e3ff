"""Pushes under heads that were parsed before: they are taken without the parser, and nothing else changes."""

from collections.abc import Callable
from typing import Any

import pytest

from pushgate.api import heads
from pushgate.api.protocol import ApiProtocol
from tests.api.rig import GET, Caller, Rig, push_of, request

MakeRig = Callable[..., Rig]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that were parsed."""
    paths: list[str] = []
    complete = ApiProtocol.on_headers_complete

    def on_headers_complete(self: ApiProtocol) -> None:
        paths.append(self.url.decode())
        complete(self)

    monkeypatch.setattr(ApiProtocol, "on_headers_complete", on_headers_complete)
    return paths


def known(rig: Rig) -> dict[bytes, Any]:
    return rig.server._state.heads._known


def test_a_head_is_parsed_once_for_all_connections(rig: Rig, parsed: list[str]) -> None:
    callers = [rig.connect() for _ in range(2)]
    for name in ("1", "2", "3"):
        for caller in callers:
            assert caller.send(push_of(name)).read()[::2] == (202, b'{"id":"%b"}' % name.encode())
            assert caller.send(GET).read()[0] == 200
    assert parsed.count("/v1/push") == 1
    assert [push.id for push in rig.bus.pushes] == ["1", "1", "2", "2", "3", "3"]
    for caller in callers:
        caller.close()


def test_a_body_of_another_length_is_parsed(rig: Rig, parsed: list[str], caller: Caller) -> None:
    for name in ("1", "22", "3", "22"):
        assert caller.send(push_of(name)).read()[2] == b'{"id":"%b"}' % name.encode()
    assert len(parsed) == 2


def test_a_bad_body_under_a_known_head_is_refused(rig: Rig, parsed: list[str], caller: Caller) -> None:
    good = request()
    assert caller.send(good).read()[0] == 202
    status, headers, body = caller.send(good.replace(b'"alice"', b'"al\\ce"')).read()
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert headers["x-request-id"].encode() in body
    assert caller.send(good).read()[0] == 202
    assert len(parsed) == 1


def test_a_known_head_in_parts_and_in_company(rig: Rig, parsed: list[str], caller: Caller) -> None:
    first, second, third = push_of("1"), push_of("2"), push_of("3")
    caller.send(first).read()
    end = first.index(b"\r\n\r\n") + 4
    for cut in (end, end + 5, len(first) - 1):
        caller.send(second[:cut])
        caller.send(second[cut:])
        assert caller.read()[2] == b'{"id":"2"}'
    caller.send(second + third + GET)
    assert [caller.read()[2] for _ in range(3)] == [b'{"id":"2"}', b'{"id":"3"}', b'{"status":"ok"}']
    assert caller.send(third).read()[2] == b'{"id":"3"}'


def test_known_heads_while_the_bus_takes_its_time(rig: Rig, caller: Caller) -> None:
    caller.send(push_of("0")).read()
    rig.bus.stalling = True
    for name in "12345":
        caller.send(push_of(name))
    rig.release()
    assert [caller.read()[2] for _ in range(5)] == [b'{"id":"%d"}' % number for number in range(1, 6)]
    assert [push.id for push in rig.bus.pushes] == list("012345")


def test_empty_lines_are_no_head(rig: Rig, caller: Caller) -> None:
    """They may stand between requests (RFC 9112 section 2.2), after a push without a body, too."""
    assert caller.send(request(b"")).read()[0] == 400
    for _ in range(2):
        caller.send(b"\r\n\r\n")
        assert caller.send(push_of("1")).read()[0] == 202
    assert b"\r\n\r\n" not in known(rig)
    assert len(rig.bus.pushes) == 2


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"x-request-id: abc\r\n", None),
        (b"expect: 100-continue\r\n", None),
        (b"connection: close\r\n", None),
        (b"x-padding: " + b"x" * heads.LONGEST + b"\r\n", None),
        (b"", b"not json"),
    ],
)
def test_what_is_special_is_not_remembered(rig: Rig, caller: Caller, head: bytes, body: bytes | None) -> None:
    caller.send(request(head=head) if body is None else request(body))
    caller.read()
    if body is None:
        assert known(rig) == {}
    else:
        assert len(known(rig)) == 1, "the body does not matter"


def test_chunks_are_not_remembered(rig: Rig, caller: Caller) -> None:
    chunked = request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    body = b'{"user":"a"}'
    for _ in range(2):
        assert caller.send(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)).read()[0] == 202
    assert known(rig) == {}


def test_a_key_that_is_gone_is_not_taken(rig: Rig, parsed: list[str], caller: Caller) -> None:
    assert [caller.send(push_of("1")).read()[0] for _ in range(2)] == [202, 202]
    rig.tenants.load(api_keys=[])
    assert [caller.send(push_of("1")).read()[0] for _ in range(2)] == [401, 401]
    assert len(parsed) == 3


def test_a_known_head_is_answered_last_when_the_server_stops(rig: Rig, caller: Caller) -> None:
    caller.send(push_of("1")).read()
    rig.bus.stalling = True
    other = rig.connect()
    other.send(push_of("2"))
    rig.wait_for(lambda: len(rig.bus.waiting) == 1)
    leaving = rig.call(lambda: rig.loop.create_task(rig.server.leave(5)))
    rig.wait_for(lambda: rig.server._state.stopping)
    caller.send(push_of("3"))
    rig.release(2)
    status, headers, _ = caller.read()
    assert (status, headers["connection"]) == (202, "close")
    other.close()
    rig.wait_for(leaving.done)


def test_with_a_log_of_requests_each_is_parsed(make_rig: MakeRig, parsed: list[str]) -> None:
    caller = make_rig(level="debug").connect()
    assert [caller.send(push_of("1")).read()[0] for _ in range(2)] == [202, 202]
    assert len(parsed) == 2
    caller.close()


def test_heads_that_never_come_again_are_let_go(rig: Rig, caller: Caller) -> None:
    for number in range(2 * heads.BOUND):
        assert caller.send(request(head=b"traceparent: %d\r\n" % number)).read()[0] == 202
        assert len(known(rig)) <= heads.BOUND
