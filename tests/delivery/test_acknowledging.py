"""Acknowledgements on their way to a session that may be anywhere, over a bus with holes."""

import asyncio

import pytest
from structlog.testing import capture_logs

from pushgate.delivery import acknowledging as module
from pushgate.delivery.acknowledging import Acknowledging
from pushgate.delivery.presence import SETTLED
from pushgate.errors import BusUnavailable
from pushgate.messages.questions import Acknowledge, Acknowledged
from pushgate.metrics.catalogue import LOBBY, POSTED_ACKS, UNANSWERED
from tests.delivery.test_questions import Cluster, Worker, short  # noqa: F401

PAGE = (("Access-Control-Allow-Origin", "https://a.example"),)
SAID = Acknowledge("acme", "alice", "00f100f100f100f1", 47)


class Desk:
    """Where acknowledgements come to one worker; a poller that notes what is answered."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.row = worker.row
        self.answers: dict[int, bytes] = {}
        self.acknowledging = Acknowledging(worker.questions, self, self.row)  # type: ignore[arg-type]

    def turn_away(self, fd: int, last: bytes) -> None:
        assert fd not in self.answers, "it is answered once"
        self.answers[fd] = last

    async def post(self, fd: int = 1) -> tuple[int, str]:
        """Return status and text of the answer."""
        self.acknowledging.take(fd, SAID, PAGE)
        async with asyncio.timeout(5):
            while fd not in self.answers:
                await asyncio.sleep(0)
        head, _, text = self.answers[fd].decode().partition("\r\n\r\n")
        assert "Access-Control-Allow-Origin: https://a.example" in head
        assert ("Retry-After: " in head) == head.startswith("HTTP/1.1 503")
        assert self.row[LOBBY] == 0
        return int(head.split()[1]), text


@pytest.fixture
async def cluster() -> Cluster:
    cluster = Cluster("a", "b", "c")
    await cluster.tick(SETTLED)
    return cluster


@pytest.fixture
def desk(cluster: Cluster) -> Desk:
    return Desk(cluster.nodes["a"][0])


@pytest.mark.parametrize("node", ["a", "b"])
async def test_it_is_taken_wherever_the_session_is(cluster: Cluster, desk: Desk, node: str) -> None:
    owner = cluster.owner(node, "alice")
    owner.holders.add(owner.name)
    assert await desk.post() == (204, "")
    assert owner.asked == [SAID]
    assert desk.row[POSTED_ACKS["204"]] == 1


async def test_whoever_has_it_is_enough(cluster: Cluster, desk: Desk) -> None:
    owner = cluster.owner("b", "alice")
    owner.holders.add(owner.name)
    cluster.quiet("c")
    cluster.workers[0].questions.presence.unsettle()
    began = asyncio.get_running_loop().time()
    assert (await desk.post())[0] == 204
    assert asyncio.get_running_loop().time() - began < 0.5
    assert desk.row[UNANSWERED] == 0


async def test_nobody_has_it(desk: Desk) -> None:
    status, text = await desk.post()
    assert status == 404
    assert "connect again" in text


async def test_who_may_have_it_does_not_answer(cluster: Cluster, desk: Desk, short: None) -> None:  # noqa: F811
    cluster.quiet("b")
    status, text = await desk.post()
    assert (status, "from b" in text) == (503, True)
    assert desk.row[POSTED_ACKS["503"]] == 1


@pytest.mark.parametrize(("code", "status"), [("bad_offset", 400), ("no_inbox", 409)])
async def test_it_is_not_right(
    cluster: Cluster, desk: Desk, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    owner = cluster.owner("c", "alice")
    monkeypatch.setattr(owner.questions, "_reply", lambda question: Acknowledged(True, code, "why"))
    assert await desk.post() == (status, "offset: why\n")


async def test_the_bus_is_away(desk: Desk) -> None:
    desk.worker.bus.connected = False
    assert (await desk.post())[0] == 503


async def test_a_fault_is_answered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.worker.questions, "ask", lambda *asked: 1 / 0)
    with capture_logs() as logs:
        assert (await desk.post())[0] == 503
    assert [entry["event"] for entry in logs] == ["an acknowledgement met a fault in the gateway"]


async def test_no_more_wait_than_may(cluster: Cluster, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    release = asyncio.Event()

    async def ask(*asked: object) -> None:
        await release.wait()
        raise BusUnavailable("later")

    monkeypatch.setattr(desk.worker.questions, "ask", ask)
    for fd in range(3):
        desk.acknowledging.take(fd, SAID, PAGE)
    assert desk.row[LOBBY] == 3
    desk.acknowledging.take(3, SAID, PAGE)
    assert b"503" in desk.answers[3][:20]
    assert list(desk.answers) == [3]
    release.set()
    async with asyncio.timeout(5):
        while len(desk.answers) < 4:
            await asyncio.sleep(0)
    assert desk.row[LOBBY] == 0
    monkeypatch.undo()
    assert (await desk.post(9))[0] == 404, "there is room again"
