import socket
import time
from collections.abc import Callable

import pytest

from pushgate.api import connection, server
from pushgate.errors import BusUnavailable
from tests.api.rig import GET, Caller, Rig, push_of, request

MakeRig = Callable[..., Rig]


def ids(rig: Rig) -> list[str]:
    return [push.id for push in rig.bus.pushes]


def test_a_connection_is_kept(caller: Caller) -> None:
    for _ in range(3):
        status, headers, _ = caller.send(request()).read()
        assert status == 202
        assert "connection" not in headers


def test_pipelined_pushes_are_answered_in_order(rig: Rig, caller: Caller) -> None:
    names = [f"push-{number}" for number in range(200)]
    caller.send(b"".join(map(push_of, names)))
    assert [caller.read()[2] for _ in names] == [b'{"id":"%b"}' % name.encode() for name in names]
    assert ids(rig) == names


@pytest.mark.parametrize("together", [True, False])
def test_pipelined_while_the_bus_takes_its_time(rig: Rig, caller: Caller, together: bool) -> None:
    rig.bus.stalling = True
    names = [f"push-{number}" for number in range(3000)]
    parts = [push_of(name) for name in names]
    caller.send(*([b"".join(parts)] if together else parts))
    rig.release()
    assert [caller.read()[2] for _ in names] == [b'{"id":"%b"}' % name.encode() for name in names]
    assert ids(rig) == names


@pytest.mark.parametrize("stalling", [False, True])
def test_mixed_pipelines(rig: Rig, caller: Caller, stalling: bool) -> None:
    rig.bus.stalling = stalling
    odd = request(b'{"user":"a","id":"2"}', line=b"POST /v1/push?x HTTP/1.1")
    caller.send(push_of("1") + GET + odd + GET + push_of("3") + push_of("4") + GET)
    if stalling:
        rig.release()
    bodies = [caller.read()[2] for _ in range(7)]
    ok = b'{"status":"ok"}'
    assert bodies == [b'{"id":"1"}', ok, b'{"id":"2"}', ok, b'{"id":"3"}', b'{"id":"4"}', ok]


def test_a_get_before_pushes(rig: Rig, caller: Caller) -> None:
    caller.send(GET + push_of("1") + push_of("2"))
    assert [caller.read()[2] for _ in range(3)] == [b'{"status":"ok"}', b'{"id":"1"}', b'{"id":"2"}']


def test_a_refused_push_keeps_its_place_and_the_connection(rig: Rig, caller: Caller) -> None:
    rig.bus.stalling = True
    no_key = push_of("2").replace(b"authorization", b"x-authorization")
    caller.send(push_of("1") + no_key + push_of("3"))
    rig.release()
    assert [caller.read()[0] for _ in range(3)] == [202, 401, 202]
    assert ids(rig) == ["1", "3"]


def test_dribble(rig: Rig, caller: Caller) -> None:
    caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in push_of("1") + GET + push_of("2"):
        caller.send(bytes([byte]))
    assert [caller.read()[0] for _ in range(3)] == [202, 200, 202]
    assert ids(rig) == ["1", "2"]


def test_a_body_behind_a_push_in_flight(rig: Rig, caller: Caller) -> None:
    rig.bus.stalling = True
    second = push_of("2")
    caller.send(push_of("1") + second[:-5])
    rig.release()
    assert caller.read()[2] == b'{"id":"1"}'
    caller.send(second[-5:])
    assert caller.read()[2] == b'{"id":"2"}'


def test_chunked(rig: Rig, caller: Caller) -> None:
    head = push_of("").partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    body = b'{"user":"alice","id":"1"}'
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in body) + b"0\r\ntrailer: x\r\nauthorization: y\r\n\r\n"
    caller.send(head, chunks[:50], chunks[50:], GET)
    assert caller.read()[2] == b'{"id":"1"}'
    assert caller.read()[0] == 200


@pytest.mark.parametrize("ahead", [b"", push_of("0")])
def test_expect_continue(rig: Rig, caller: Caller, ahead: bytes) -> None:
    rig.bus.stalling = bool(ahead)
    head, _, body = request(head=b"Expect: 100-Continue\r\n").partition(b"\r\n\r\n")
    caller.send(ahead + head + b"\r\n\r\n")
    if ahead:
        rig.release()
        assert caller.read()[0] == 202
    assert caller.read_head()[0] == 100
    caller.send(body)
    assert caller.read()[0] == 202


def test_expect_continue_for_litestar(caller: Caller) -> None:
    caller.send(request(b"", line=b"POST /v1/tokens HTTP/1.1", length=12, head=b"expect: 100-continue\r\n"))
    assert caller.read_head()[0] == 100
    caller.send(b'{"user":"a"}')
    assert caller.read()[0] == 200


@pytest.mark.parametrize(("change", "status"), [((b"Bearer", b"Bear"), 401), ((b"/json", b"/xml"), 415)])
def test_expect_continue_refused(caller: Caller, change: tuple[bytes, bytes], status: int) -> None:
    caller.send(request(b"", length=10, head=b"expect: 100-continue\r\n").replace(*change))
    assert caller.read()[:1] == (status,)
    assert caller.read_end() == b""


def test_too_large_is_told_before_the_body_came(rig: Rig, caller: Caller) -> None:
    caller.send(request(b"", length=100 * 1024 * 1024))
    status, headers, _ = caller.read()
    assert (status, headers["connection"]) == (413, "close")
    assert caller.read_end() == b""


def test_too_large_is_seen_by_a_caller_that_sends_all_of_it_first(make_rig: MakeRig) -> None:
    rig = make_rig(max_body=1024)
    caller = rig.connect()
    caller.send(request(b"x" * 2_000_000))
    assert caller.read()[0] == 413
    assert caller.read_end() == b""
    caller.close()
    assert rig.bus.parcels == []


def test_too_large_behind_a_push_in_flight(make_rig: MakeRig) -> None:
    rig = make_rig(max_body=1024)
    rig.bus.stalling = True
    caller = rig.connect()
    caller.send(push_of("1") + request(b"", length=5000) + b"x" * 3000)
    rig.release()
    assert [caller.read()[0], caller.read()[0]] == [202, 413]
    assert caller.read_end() == b""
    caller.close()


@pytest.mark.parametrize(
    ("line", "head"),
    [
        (b"POST /v1/push HTTP/1.0", b""),
        (b"POST /v1/push HTTP/1.0", b"connection: keep-alive\r\n"),
        (b"POST /v1/push HTTP/1.1", b"Connection: close\r\n"),
    ],
)
def test_nothing_is_done_after_the_last_request(rig: Rig, caller: Caller, line: bytes, head: bytes) -> None:
    caller.send(request(line=line, head=head) + push_of("never") + GET)
    status, headers, _ = caller.read()
    assert (status, headers["connection"]) == (202, "close")
    assert caller.read_end() == b""
    assert "never" not in ids(rig)


@pytest.mark.parametrize(
    ("last", "status"),
    [(GET[:-2] + b"connection: close\r\n\r\n", 200), (b"CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n", 400)],
)
def test_nothing_is_done_after_the_last_request_of_litestar(rig: Rig, caller: Caller, last: bytes, status: int) -> None:
    caller.send(last + push_of("never"))
    assert caller.read()[0] == status
    assert caller.read_end() == b""
    assert rig.bus.parcels == []


H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQBAAAA\r\n"


@pytest.mark.parametrize("line", [b"POST /v1/push HTTP/1.1", b"POST /v1/push?x HTTP/1.1"])
@pytest.mark.parametrize("dribble", [False, True])
def test_other_protocols_are_declined(rig: Rig, caller: Caller, line: bytes, dribble: bool) -> None:
    """As java.net.http asks for HTTP/2: the request is answered all the same, and so is the next."""
    websocket = GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    packet = request(line=line, head=H2C) + push_of("2") + websocket + request(head=H2C)
    caller.send(*([bytes([byte]) for byte in packet] if dribble else [packet]))
    assert [caller.read()[0] for _ in range(4)] == [202, 202, 200, 202]
    assert len(rig.bus.parcels) == 3


def test_very_many_requests_for_other_protocols(rig: Rig, caller: Caller) -> None:
    caller.send(b"".join(request(head=H2C) for _ in range(1500)))
    assert [caller.read()[0] for _ in range(1500)] == [202] * 1500


NONSENSE = [
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"NONSENSE\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /v1/push HTTP/1.1\r\na b: c\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    request(head=b"content-length: 3\r\n"),
    request(head=b"transfer-encoding: chunked\r\n"),
    request(b"").replace(b"content-length: 0", b"content-length: -1"),
    request(b"").replace(b"content-length: 0", b"content-length: 99999999999999999999999"),
    request(b"zz\r\n").replace(b"content-length: 4", b"transfer-encoding: chunked"),
    request(b"zz\r\n", line=b"POST /v1/tokens HTTP/1.1").replace(b"content-length: 4", b"transfer-encoding: chunked"),
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda text: repr(text)[:30])
@pytest.mark.parametrize("ahead", [b"", push_of("1"), GET, push_of("1") + GET + push_of("2")])
@pytest.mark.parametrize("stalling", [False, True])
def test_what_cannot_be_parsed(
    rig: Rig,
    caller: Caller,
    nonsense: bytes,
    ahead: bytes,
    stalling: bool,
    capfd: pytest.CaptureFixture[str],
) -> None:
    rig.bus.stalling = stalling and b"POST" in ahead
    caller.send(ahead + nonsense + push_of("never"))
    if rig.bus.stalling:
        rig.release()
    for _ in range(ahead.count(b"HTTP/1.1")):
        assert caller.read()[0] in (200, 202)
    status, headers, body = caller.read()
    assert (status, headers["connection"]) == (400, "close")
    assert headers["content-type"] == "application/problem+json"
    assert b'"bad_request"' in body
    assert caller.read_end() == b""
    assert "never" not in ids(rig)
    assert capfd.readouterr() == ("", "")


def test_an_endless_head(caller: Caller) -> None:
    caller.send(b"GET / HTTP/1.1\r\nx: y\r\n")
    time.sleep(0.1)
    caller.send(b"x: " + b"y" * (connection.MAX_HEAD + 1))
    assert caller.read()[0] == 413
    assert caller.read_end() == b""


@pytest.mark.parametrize("line", [b"POST /v1/push HTTP/1.1", b"GET /healthz HTTP/1.1"])
@pytest.mark.parametrize("around", [b"1\r\n \r\n" * 50_000, b"1\r\n \r\n0\r\n" + b"a: b\r\n" * 50_000])
def test_endless_chunks_and_trailers(caller: Caller, line: bytes, around: bytes) -> None:
    """Small chunks pass, by the thousand; what is mostly not body is cut."""
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"user":"a"%b}' % (b" " * 4000))
    head = request(b"", line=line).partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    caller.send(head + body + b"0\r\n\r\n")
    assert caller.read()[0] in (200, 202)
    caller.send(head + around)
    answers = [caller.read()[0]]
    if answers == [200]:  # Litestar has answered before
        answers = [caller.read()[0]]
    assert answers == [413]
    assert caller.read_end() == b""


@pytest.mark.parametrize("stalling", [False, True])
def test_a_caller_that_half_closes_is_answered(rig: Rig, caller: Caller, stalling: bool) -> None:
    rig.bus.stalling = stalling
    caller.send(push_of("1") + GET + push_of("2"))
    if stalling:
        rig.wait_for(lambda: bool(rig.bus.waiting))
        caller.socket.shutdown(socket.SHUT_WR)
        rig.release()
        assert [caller.read()[0] for _ in range(3)] == [202, 200, 202]
    else:
        assert [caller.read()[0] for _ in range(3)] == [202, 200, 202]
        caller.socket.shutdown(socket.SHUT_WR)
    assert caller.read_end() == b""


@pytest.mark.parametrize("error", [None, BusUnavailable("gone")])
def test_a_caller_that_goes_away_makes_no_noise(
    rig: Rig, error: Exception | None, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.bus.stalling = True
    rig.bus.error = error
    caller = rig.connect()
    caller.send(push_of("1") + GET)
    rig.wait_for(lambda: bool(rig.bus.waiting))
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    caller.close()
    rig.release()
    rig.wait_for(lambda: not rig.server._state.connections)
    assert rig.push(user="after").status_code == (503 if error else 202)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("line", [b"POST /v1/tokens HTTP/1.1", b"POST /v1/push?x HTTP/1.1", b"POST /v1/push HTTP/1.1"])
def test_a_caller_that_goes_away_in_its_body_makes_no_noise(
    rig: Rig, line: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    caller = rig.connect()
    caller.send(request(b"{", line=line, length=100))
    rig.wait_for(lambda: bool(rig.server._state.connections))
    time.sleep(0.05)
    caller.close()
    rig.wait_for(lambda: not rig.server._state.connections and not rig.server._state.tasks)
    assert capfd.readouterr() == ("", "")


def test_a_caller_that_does_not_read_is_not_read_from(rig: Rig) -> None:
    caller = rig.connect()
    caller.socket.settimeout(1)
    packet = request(b"{}") * 1000
    with pytest.raises(TimeoutError):
        caller.send(*[packet] * 1000)
    [protocol] = rig.server._connections()
    assert rig.call(protocol.transport.get_write_buffer_size) < 1_000_000
    caller.socket.settimeout(10)
    assert [caller.read()[0] for _ in range(2000)] == [400] * 2000
    caller.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the sweep frequent and its patience short."""
    monkeypatch.setattr(server, "SWEEP", 0.02)
    for name in ("RECEIVE_TIMEOUT", "ANSWER_TIMEOUT", "LINGER"):
        monkeypatch.setattr(connection, name, 0.2)


@pytest.mark.usefixtures("quick")
class TestDeadlines:
    @pytest.mark.parametrize(
        "begun",
        [
            b"P",
            b"GET / HTTP/1.1\r\nx: ",
            request(b"", length=9),
            request(b"", length=9, line=b"POST /v1/tokens HTTP/1.1"),
        ],
    )
    def test_a_request_that_does_not_come(self, make_rig: MakeRig, begun: bytes) -> None:
        caller = make_rig().connect()
        caller.send(GET)
        assert caller.read()[0] == 200
        began = time.monotonic()
        caller.send(begun)
        assert caller.read_end() == b""
        assert 0.15 < time.monotonic() - began < 5
        caller.close()

    def test_an_idle_connection(self, make_rig: MakeRig) -> None:
        caller = make_rig(keep_alive=0.3).connect()
        assert caller.send(push_of("1")).read()[0] == 202
        began = time.monotonic()
        assert caller.read_end() == b""
        assert 0.2 < time.monotonic() - began < 5
        caller.close()

    def test_a_busy_connection_lives(self, make_rig: MakeRig) -> None:
        caller = make_rig(keep_alive=0.3).connect()
        for _ in range(8):
            assert caller.send(push_of("1")).read()[0] == 202
            assert caller.send(GET).read()[0] == 200
            time.sleep(0.1)
        caller.close()

    def test_an_answer_that_does_not_come(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.bus.stalling = True
        caller = rig.connect()
        caller.send(push_of("1"))
        assert caller.read_end() == b""
        caller.close()
        rig.release()

    def test_a_caller_that_never_reads(self, make_rig: MakeRig) -> None:
        rig = make_rig(keep_alive=0.3)
        caller = rig.connect()
        caller.socket.settimeout(0.3)
        with pytest.raises((TimeoutError, ConnectionResetError, BrokenPipeError)):
            caller.send(*[request(b"{}") * 1000] * 1000)
        rig.wait_for(lambda: not rig.server._state.connections)
        caller.close()

    def test_a_caller_that_lingers(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        caller = rig.connect()
        caller.send(request(b"", length=10**9))
        assert caller.read()[0] == 413
        rig.wait_for(lambda: not rig.server._state.connections)
        caller.close()


class TestStop:
    def test_what_is_in_flight_is_answered(self, rig: Rig) -> None:
        rig.bus.stalling = True
        idle, pushing, pipelining = rig.connect(), rig.connect(), rig.connect()
        idle.send(GET).read()
        pushing.send(push_of("1"))
        pipelining.send(push_of("2") + GET + push_of("3"))
        rig.wait_for(lambda: len(rig.bus.waiting) == 2)
        stopped = rig.begin_stop(10)
        assert idle.read_end() == b""
        assert not stopped.done()
        rig.release(2)
        status, headers, _ = pushing.read()
        assert (status, headers["connection"]) == (202, "close")
        assert [pipelining.read()[0] for _ in range(3)] == [202, 200, 202]
        for caller in (pushing, pipelining):
            assert caller.read_end() == b""
        stopped.result(10)
        for caller in (idle, pushing, pipelining):
            caller.close()

    @pytest.mark.parametrize("cut", [5, 60, -3])
    @pytest.mark.parametrize("line", [b"POST /v1/push HTTP/1.1", b"POST /v1/push?x HTTP/1.1"])
    def test_what_is_half_received_is_answered(self, rig: Rig, caller: Caller, cut: int, line: bytes) -> None:
        whole = request(line=line)
        caller.send(GET).read()
        caller.send(whole[:cut])
        rig.wait_for(lambda: any(protocol._receiving for protocol in rig.server._connections()))
        stopped = rig.begin_stop(10)
        rig.wait_for(lambda: rig.server._state.stopping)
        caller.send(whole[cut:])
        status, headers, _ = caller.read()
        assert (status, headers["connection"]) == (202, "close")
        assert caller.read_end() == b""
        stopped.result(10)

    def test_connections_that_went_before_do_not_count(self, rig: Rig) -> None:
        before = rig.connect()
        before.send(GET).read()
        before.close()
        rig.wait_for(lambda: not rig.server._state.connections)
        self.test_what_is_in_flight_is_answered(rig)

    def test_grace_ends(self, rig: Rig, caller: Caller) -> None:
        rig.bus.stalling = True
        caller.send(push_of("1"))
        rig.wait_for(lambda: bool(rig.bus.waiting))
        rig.begin_stop(0.1).result(10)
        assert caller.read_end() == b""
        rig.release()

    def test_nothing_is_taken_afterwards(self, rig: Rig) -> None:
        rig.begin_stop(0.1).result(10)
        late = rig.connect()
        try:
            assert late.read_end() == b""
        except ConnectionResetError:
            pass
        late.close()
