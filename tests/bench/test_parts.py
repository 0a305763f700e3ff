"""The generator's parts by themselves: numbers, tokens, bytes, shares and what /proc says."""

import json
import os
import pickle
import random
import signal
import subprocess
import time

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushgate.bench import crew, server_cost
from pushgate.bench.callers import _answer_size
from pushgate.bench.crew import Crew, divide
from pushgate.bench.histogram import Histogram
from pushgate.bench.options import (
    Address,
    BenchError,
    Calls,
    Common,
    Share,
    Target,
    Unrest,
    process_room,
)
from pushgate.bench.payload import EVERYONE, BareRequest, Ids, PushRequest, one_user, padding_for, smallest_frame
from pushgate.bench.sources import source_address, sources_for
from pushgate.bench.tokens import sign
from pushgate.bench.totals import Totals
from pushgate.errors import ConfigError
from pushgate.wire.frames import TEXT, encode_frame

ADDRESS = Address("127.0.0.1", 1, "host:1", "/ws")
COMMON = Common(Target(ADDRESS, ADDRESS, "key", b"s" * 32))


@settings(deadline=None)
@given(st.lists(st.integers(0, 1 << 39), min_size=1, max_size=50), st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_a_percentile_is_right_to_two_per_cent(values: list[int], percent: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    ordered = sorted(values)
    rank = max(0, -(-len(values) * percent // 100) - 1)
    exact = ordered[int(rank)] / 1000
    assert exact <= histogram.percentile(percent) <= exact * 1.017
    assert histogram.count == len(values)


def test_histograms_merge_and_take_anything() -> None:
    one, other = Histogram(), Histogram()
    assert set(one.summary().values()) == {0.0}
    one.add(-5)
    other.add(1 << 60)
    other.add(1000)
    one.merge(other)
    assert one.count == 3
    assert one.percentile(50) == pytest.approx(1.0, rel=0.017)
    assert one.worst == (1 << 40) - 1


def test_what_a_histogram_counted_since() -> None:
    histogram = Histogram()
    for value in (10, 50_000):
        histogram.add(value)
    before = pickle.loads(pickle.dumps(histogram))
    assert set(histogram.since(before).summary().values()) == {0.0}
    histogram.add(2000)
    later = histogram.since(before)
    assert later.count == 1
    assert later.worst == pytest.approx(2000, rel=0.017)


def test_totals_merge() -> None:
    one, other = Totals(), Totals(opened=2, connect_first_ns=7, connect_last_ns=9)
    other.failures["x"] = 1
    one.merge(other)
    one.merge(Totals(opened=1, connect_first_ns=5, connect_last_ns=6))
    assert (one.opened, one.connect_first_ns, one.connect_last_ns, one.failures) == (3, 5, 9, {"x": 1})


def test_tokens_are_what_pyjwt_takes() -> None:
    expires = int(time.time()) + 60
    token = sign(b"s" * 32, "u7", "default", expires)
    claims = jwt.decode(token, b"s" * 32, algorithms=["HS256"])
    assert claims == {"sub": "u7", "tenant": "default", "exp": expires}


def test_frames_have_the_size_asked_for() -> None:
    assert smallest_frame() <= 100
    for size in (smallest_frame(), 100, 127, 129, 130, 1000, 65535, 65536):
        base = smallest_frame() + padding_for(size)
        head = 2 if size < 128 else 4 if size <= 65539 else 10
        assert base + head - 2 == size
    assert padding_for(1) == 0


def test_a_push_request_is_http_with_json() -> None:
    head, _, body = PushRequest(ADDRESS, "key", one_user("u1"), 3).at(42).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"user": "u1", "id": "b", "event": "bench", "data": f"t={42:019d}..."}
    assert b'{"everyone":true,' in PushRequest(ADDRESS, "key", EVERYONE, 0).at(1)


def test_a_reliable_push_has_an_id_of_its_own() -> None:
    request, ids = PushRequest(ADDRESS, "key", one_user("u1"), 0, reliable=True), Ids()
    one, other = (request.at(42, ids.fresh()).partition(b"\r\n\r\n") for _ in range(2))
    assert one[0] == other[0]
    assert f"Content-Length: {len(one[2])}".encode() in one[0]
    assert json.loads(one[2])["id"] != json.loads(other[2])["id"]


@pytest.mark.parametrize("size", [100, 127, 130, 65536])
def test_a_bare_push_is_what_fits_into_the_frame(size: int) -> None:
    address = Address("127.0.0.1", 1, "host:1", "/to/{user}").of("u7")
    head, _, body = BareRequest(address, size).at(42).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /to/u7 HTTP/1.1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert len(encode_frame(TEXT, body)) == size
    assert body.startswith(b"t=%019d." % 42)


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n0123456789", 55),
        (b"HTTP/1.1 202 Accepted\r\ncontent-type: x\r\ncontent-length: 0\r\nx: y\r\n\r\n", 67),
        (b"HTTP/1.1 202 Accepted\r\ncontent-le", 0),
        (b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n", -1),
    ],
)
def test_the_size_of_an_answer(answer: bytes, size: int) -> None:
    assert _answer_size(answer, len(answer)) == size


@given(st.integers(1, 3000), st.integers(1, 10), st.integers(0, 500), st.integers(1, 9), st.integers(0, 9))
def test_shares_are_everything_once(connections: int, per_user: int, idle: int, processes: int, callers: int) -> None:
    common = Common(COMMON.target, per_user, processes=processes)
    calls, unrest = Calls(callers, 1.0, 100, 5.0) if callers else None, Unrest(idle, 7.0, callers)
    shares = divide(common, connections, idle, calls, unrest=unrest)
    assert sum(share.count for share in shares) == connections
    assert sum(share.idle for share in shares) == sum(len(share.churning) for share in shares) == idle
    assert sum(share.unrest.churn for share in shares) == pytest.approx(7.0 if idle else 0.0)
    assert len({user for share in shares for user in share.stalling_users}) == callers
    next_connection = next_user = 0
    for share in shares:
        assert (share.first, share.first_user) == (next_connection, next_user)
        next_connection += share.connections
        next_user += -(-share.count // per_user)
    if callers:
        assert all(share.calls and share.calls.callers for share in shares)
        assert sum(share.calls.rate for share in shares if share.calls) == pytest.approx(5.0)


def test_more_processes_when_files_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "process_room", lambda: 1000)
    shares = divide(COMMON, 5000)
    assert len(shares) >= 5
    assert max(share.count for share in shares) <= 1000
    with pytest.raises(BenchError, match="one user has"):
        divide(Common(COMMON.target, 1000), 5000)
    assert process_room() > 0


def test_a_process_that_ends_is_an_error() -> None:
    with pytest.raises(BenchError, match="ended early"):
        Crew(Common(COMMON.target, per_user=0), [Share(0, 0, 1)])


def test_sources_are_loopback_addresses() -> None:
    assert [source_address(number) for number in (0, 1, 254, 16_000_000)] == [
        "127.0.0.2",
        "127.0.0.3",
        "127.0.1.0",
        "127.244.36.2",
    ]
    assert [sources_for(connections) for connections in (1, 50, 51)] == [1, 1, 2]


@pytest.mark.parametrize("url", ["wss://h/ws", "ws://h:x/ws", "ws:///ws", "ws://h/ws?a=b", "http://h"])
def test_addresses_are_checked(url: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(url, "ws")


def test_the_cost_of_a_process_tree() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 30 & wait"])
    try:
        deadline = time.monotonic() + 5
        while server_cost.measure((shell.pid,)).processes < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        cost = server_cost.measure((shell.pid,))
        assert cost.processes == 2
        assert cost.rss >= cost.pss > 0
        assert server_cost.open_files((shell.pid,)) >= 6
    finally:
        for pid in server_cost._tree((shell.pid,)):
            os.kill(pid, signal.SIGKILL)
        shell.wait()
    assert server_cost.measure(()).processes == 0
    assert server_cost.own_memory() > 1_000_000
    begun = server_cost.cpu_seconds((os.getpid(),))
    until = time.process_time() + 0.1
    while time.process_time() < until:
        random.random()
    assert server_cost.cpu_seconds((os.getpid(),)) - begun == pytest.approx(0.1, abs=0.06)
    for asked in (server_cost.measure, server_cost.open_files):
        with pytest.raises(BenchError, match="of the server"):
            asked((shell.pid,))
