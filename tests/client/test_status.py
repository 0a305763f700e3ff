import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from msgspec import structs

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.status import BusState, Look, Worker, compare, look
from pushgate.metrics.catalogue import (
    BUS_CONNECTED,
    BUS_GAPS,
    BUS_LAG,
    CONNECTIONS,
    DELIVERED,
    NODE_START,
    OPENED,
    PUSHES,
    REFUSED,
    WORKER_CPU,
    WORKER_FILES,
    WORKER_LAG,
    WORKER_MAX_FILES,
    WORKER_RESTARTS,
    WORKER_START,
    WORKER_TICKS,
)
from pushgate.metrics.exposition import expose
from pushgate.metrics.rows import Rows, observe

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> httpx.Client:
    return httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer))


@pytest.fixture
def rows() -> Rows:
    made = Rows(2)
    made.row(2)[NODE_START] = int(time.time()) - 100
    for index in range(2):
        made.row(index)[WORKER_START] = int((time.time() - 90) * 1e6)
    return made


@pytest.fixture
def ready() -> list[httpx.Response]:
    """What /readyz is answered with: the last one."""
    return [httpx.Response(200, json={"status": "ok"})]


@pytest.fixture
def http(rows: Rows, ready: list[httpx.Response]) -> Iterator[httpx.Client]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/readyz":
            return ready[-1]
        return httpx.Response(200, content=b"".join(expose(rows, {"acme": 0}, "node-1")))

    with client(answer) as made:
        yield made


def later(before: Look, after: Look, seconds: float) -> Look:
    """Return the second look as if it had come so long after the first."""
    return after._replace(moment=before.moment + seconds)


def test_a_node_at_a_glance(http: httpx.Client, rows: Rows) -> None:
    before = look(http)
    row = rows.row(1)
    row[CONNECTIONS], row[BUS_CONNECTED], row[WORKER_LAG] = 7, 1, 1500
    row[WORKER_FILES], row[WORKER_MAX_FILES], row[WORKER_RESTARTS] = 30, 20000, 2
    row[WORKER_CPU] += 300_000
    row[WORKER_TICKS] += 4
    row[OPENED] += 10
    row[REFUSED["token"]] += 3
    row[REFUSED["timeout"]] += 1
    row[PUSHES["live", "user"]] += 20
    row[DELIVERED] += 200
    rows.row(0)[DELIVERED] += 200
    row[BUS_GAPS] += 1
    for seconds in (0.001, 0.003):
        observe(row, BUS_LAG, seconds)
    now = compare(before, later(before, look(http), 1.1))
    assert (now.node, now.version > "", now.python > "", now.not_ready) == ("node-1", True, True, "")
    assert 99 <= now.up < 200
    assert now.connections == 7
    rates = {name: round(value * 1.1, 6) for name, value in structs.asdict(now.rates).items() if value}
    assert rates == {"opened": 10, "handshakes_refused": 4, "pushes": 20, "delivered": 400}
    assert now.bus == BusState(1, 0.002, 0, 1, 0)
    worker = now.workers[1]
    assert worker.up is not None
    assert 90 <= worker.up < 200
    assert structs.replace(worker, up=None) == Worker(1, None, 7, 0, 0.3, 0, 0.0015, 0.0, 30, 20000, 2, 0, True)
    assert [each.worker for each in now.workers] == [0, 1]


def test_cpu_of_a_worker_whose_ticks_were_late_counts_by_the_clock(http: httpx.Client, rows: Rows) -> None:
    before = look(http)
    rows.row(0)[WORKER_CPU] += 2_000_000
    rows.row(0)[WORKER_TICKS] += 1
    now = compare(before, later(before, look(http), 4.0))
    assert [worker.cpu for worker in now.workers] == [0.5, 0.0]


def test_a_dead_worker_is_away_and_no_push_has_no_lag(http: httpx.Client, rows: Rows) -> None:
    rows.clear_gauges(0)
    before = look(http)
    now = compare(before, later(before, look(http), 1.0))
    assert [worker.up is None for worker in now.workers] == [True, False]
    assert now.bus.lag is None


def test_a_node_started_anew_in_between_has_no_negative_rates(http: httpx.Client, rows: Rows) -> None:
    rows.row(0)[DELIVERED] = 1000
    before = look(http)
    rows.row(0)[DELIVERED] = 5
    now = compare(before, later(before, look(http), 1.0))
    assert now.rates.delivered == 0


def test_why_it_is_not_ready(http: httpx.Client, ready: list[httpx.Response]) -> None:
    ready.append(httpx.Response(503, json={"code": "unavailable", "detail": "the bus is away"}))
    assert look(http).not_ready == "the bus is away"
    ready.append(httpx.Response(502, text="<html>"))
    assert look(http).not_ready == "/readyz is answered with 502"


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(404, text="pushgate_"),
        httpx.Response(200, text="<html>hello</html>"),
        httpx.Response(200, text="pushgate_a{ nonsense"),
    ],
)
def test_what_is_no_gateway(response: httpx.Response) -> None:
    with client(lambda request: response) as http, pytest.raises(ApiProblem, match="not the metrics of a gateway"):
        look(http)


def test_nobody_answers() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    with client(refuse) as http, pytest.raises(Unreachable, match="Connection refused"):
        look(http)
