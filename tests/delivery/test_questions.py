"""Questions between nodes, each a few workers' `Questions` in this process on one shared bus."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from pushgate.delivery import questions as module
from pushgate.delivery.presence import EVERY, FORGOTTEN, SETTLED
from pushgate.delivery.questions import STUCK, Questions
from pushgate.errors import BusUnavailable, Problem
from pushgate.journal import Event
from pushgate.messages.questions import (
    Acknowledge,
    Acknowledged,
    Answer,
    Ask,
    Closed,
    Count,
    Counted,
    Find,
    Found,
    Here,
    Kick,
    Node,
    Question,
    Reach,
    Reached,
    Recall,
    Recalled,
    Reply,
    Sessions,
    decode_word,
    encode_word,
)
from pushgate.messages.shard import SHARDS, owner_of, shard_of
from pushgate.metrics.catalogue import DROPPED, QUESTIONS, UNANSWERED
from pushgate.metrics.rows import Rows
from tests.fakes.shared_bus import SharedBus, Wire
from tests.fakes.subscriber import until

WORKERS = 2


class Worker:
    """A worker that says who it is."""

    def __init__(self, wire: Wire, node: Node, index: int) -> None:
        shards = [shard for shard in range(SHARDS) if owner_of(shard, WORKERS) == index]
        self.name = f"{node.name}/{index}"
        self.bus = SharedBus(wire, shards)
        self.row = Rows(1).row(0)
        self.asked: list[Question] = []
        self.error: Exception | None = None
        self.holders: set[str] = set()
        self.home = 0
        self.questions = Questions(node, index, self.bus, self.reply, self.row, home=lambda: self.home)
        self.bus.receive = self.questions.hear

    def reply(self, question: Question) -> Reply:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        match question:
            case Find():
                return Sessions([Found(self.name, None, 1, "", "")])
            case Kick():
                return Closed(1)
            case Reach():
                return Reached(WORKERS, 10, 1 if self.name.endswith("0") else 3)
            case Acknowledge():
                return Acknowledged(self.name in self.holders)
            case Recall():
                return Recalled([Event(1.0, "info", "ready", {"who": self.name})])
            case Count():
                return Counted(self.name, WORKERS, True, 1, 1, 1, 1, 0.0, 0.0)


class Cluster:
    """Nodes of two workers each, by name; every worker has heard of all nodes."""

    def __init__(self, *names: str) -> None:
        self.wire = Wire()
        self.nodes = {
            name: [Worker(self.wire, Node(name, number), index) for index in range(WORKERS)]
            for number, name in enumerate(names)
        }

    @property
    def workers(self) -> list[Worker]:
        return [worker for node in self.nodes.values() for worker in node]

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            for worker in self.workers:
                worker.questions.tick()
            await asyncio.sleep(0.001)

    def quiet(self, name: str) -> None:
        """Let a node hear and say nothing, as a stopped one."""
        for worker in self.nodes[name]:
            worker.bus.hears = False
            worker.bus.stalls = True

    def owner(self, name: str, uid: str) -> Worker:
        return self.nodes[name][owner_of(shard_of("acme", uid), WORKERS)]


@pytest.fixture
async def cluster() -> Cluster:
    cluster = Cluster("a", "b", "c")
    await cluster.tick(SETTLED)
    return cluster


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.1)


async def test_the_owner_on_each_node_answers_whoever_asks(cluster: Cluster) -> None:
    owners = set()
    for uid in (f"user{number}" for number in range(8)):
        index = owner_of(shard_of("acme", uid), WORKERS)
        owners.add(index)
        for worker in cluster.workers:
            gathered = await worker.questions.ask(Find("acme", uid), Sessions)
            told = [(node, reply.sessions[0].session) for node, reply in gathered.replies]
            assert told == [(node, f"{node}/{index}") for node in "abc"]
            assert (gathered.missing, gathered.whole) == ([], True)
    assert owners == set(range(WORKERS))


async def test_all_workers_of_each_node_answer_together(cluster: Cluster) -> None:
    for worker in cluster.workers:
        gathered = await worker.questions.ask(Reach("acme", 7), Reached)
        assert gathered.replies == [(node, Reached(WORKERS, 20, 4)) for node in "abc"]
        assert (gathered.missing, gathered.whole) == ([], True)


async def test_a_node_of_which_a_worker_is_quiet_has_not_answered(cluster: Cluster, short: None) -> None:
    quiet = cluster.nodes["b"][1]
    quiet.bus.hears = False
    quiet.bus.stalls = True
    gathered = await cluster.nodes["a"][0].questions.ask(Reach("acme", 7), Reached)
    assert [node for node, _ in gathered.replies] == ["a", "c"]
    assert (gathered.missing, gathered.whole) == (["b"], True)


async def test_one_worker_of_each_node_answers_for_it(cluster: Cluster) -> None:
    for index, worker in enumerate(cluster.workers):
        gathered = await worker.questions.ask(Count("acme"), Counted)
        told = {node: reply.version for node, reply in gathered.replies}
        assert told == {node: f"{node}/0" for node in "abc"} | {worker.name[0]: worker.name}, index
        assert gathered.missing == []


async def test_whoever_does_not_answer_in_time_is_named(cluster: Cluster, short: None) -> None:
    cluster.quiet("b")
    worker = cluster.nodes["a"][0]
    gathered = await worker.questions.ask(Find("acme", "alice"), Sessions)
    assert [node for node, _ in gathered.replies] == ["a", "c"]
    assert (gathered.missing, gathered.whole) == (["b"], True)
    assert (worker.row[QUESTIONS], worker.row[UNANSWERED]) == (1, 1)
    assert worker.questions._asked == {}
    for _ in range(FORGOTTEN):
        await cluster.tick()
    assert (await worker.questions.ask(Find("acme", "alice"), Sessions)).missing == []


async def test_our_own_owner_that_does_not_answer_is_told_apart(cluster: Cluster, short: None) -> None:
    owner = cluster.owner("a", "alice")
    owner.bus.hears = False
    other = next(worker for worker in cluster.nodes["a"] if worker is not owner)
    gathered = await other.questions.ask(Kick("acme", "alice"), Closed)
    assert [node for node, _ in gathered.replies] == ["b", "c"]
    assert (gathered.missing, gathered.whole) == (["a"], False)


async def test_numbers_of_our_own_node_need_nobody_else(cluster: Cluster, short: None) -> None:
    speaker, other = cluster.nodes["a"]
    speaker.bus.hears = False
    gathered = await other.questions.ask(Count("acme"), Counted)
    assert gathered.whole
    assert gathered.missing == []


async def test_a_node_that_leaves_is_not_waited_for(cluster: Cluster) -> None:
    for worker in cluster.nodes["b"]:
        await worker.questions.stop()
    await cluster.tick(2 * EVERY)
    cluster.quiet("b")
    gathered = await cluster.nodes["a"][0].questions.ask(Find("acme", "alice"), Sessions)
    assert [node for node, _ in gathered.replies] == ["a", "c"]
    assert gathered.missing == []


async def test_before_it_has_heard_everybody_a_worker_waits_for_whoever_may_be_there(short: None) -> None:
    cluster = Cluster("a", "b")
    asking = asyncio.create_task(cluster.nodes["a"][0].questions.ask(Find("acme", "alice"), Sessions))
    await asyncio.sleep(0.05)
    assert not asking.done(), "though its own node has answered, and it knows of no other"
    assert [node for node, _ in (await asking).replies] == ["a", "b"]
    await cluster.tick(SETTLED)
    cluster.nodes["a"][0].questions.presence.unsettle()
    asking = asyncio.create_task(cluster.nodes["a"][0].questions.ask(Find("acme", "alice"), Sessions))
    await asyncio.sleep(0.05)
    assert not asking.done(), "after a gap too"
    await asking


async def test_a_node_first_heard_while_a_question_waits_is_missing_from_it(short: None) -> None:
    cluster = Cluster("a")
    asking = asyncio.create_task(cluster.nodes["a"][0].questions.ask(Find("acme", "alice"), Sessions))
    await asyncio.sleep(0.01)
    cluster.nodes["a"][0].questions.hear(encode_word(Here(Node("late", 7))))
    assert (await asking).missing == ["late"]


@pytest.mark.parametrize("fault", ["connected", "stalls"])
async def test_a_bus_that_is_away_is_told(cluster: Cluster, short: None, fault: str) -> None:
    worker = cluster.nodes["a"][0]
    setattr(worker.bus, fault, fault == "stalls")
    with pytest.raises(BusUnavailable):
        await worker.questions.ask(Find("acme", "alice"), Sessions)
    with pytest.raises(BusUnavailable):
        await worker.questions.ask(Count("acme"), Counted)
    assert worker.questions._asked == {}


async def test_nobody_is_forgotten_while_the_bus_is_away(cluster: Cluster) -> None:
    worker = cluster.nodes["a"][0]
    worker.bus.connected = False
    for _ in range(2 * FORGOTTEN):
        worker.questions.tick()
    worker.bus.connected = True
    assert {node.name for node in worker.questions.presence.nodes} == {"a", "b", "c"}


async def test_answers_to_others_and_of_another_kind_are_dropped(cluster: Cluster, short: None) -> None:
    worker = cluster.nodes["a"][0]
    cluster.owner("b", "alice").questions._reply = lambda question: Closed(1)
    worker.questions.hear(encode_word(Answer(1, Node("b", 1), Closed(5))))
    gathered = await worker.questions.ask(Find("acme", "alice"), Sessions)
    assert [node for node, _ in gathered.replies] == ["a", "c"]


async def test_a_fault_in_an_answer_is_logged_and_named_missing(cluster: Cluster, short: None) -> None:
    cluster.owner("b", "alice").error = ZeroDivisionError()
    with capture_logs() as logs:
        gathered = await cluster.nodes["a"][0].questions.ask(Find("acme", "alice"), Sessions)
    assert gathered.missing == ["b"]
    assert [line["log_level"] for line in logs] == ["error"]
    assert "alice" not in str(logs)


async def test_what_is_no_word_is_dropped_and_counted(cluster: Cluster) -> None:
    worker = cluster.nodes["a"][0]
    with capture_logs() as logs:
        for payload in (b"", b"nonsense", b"\x80", b"\xde\x00\x00"):
            worker.questions.hear(payload)
    assert len(logs) == 4
    assert worker.row[DROPPED["undecodable"]] == 4


async def test_questions_under_way_are_bounded(cluster: Cluster, short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ASKED", 3)
    cluster.quiet("b")
    questions = cluster.nodes["a"][0].questions
    results = await asyncio.gather(
        *(questions.ask(Find("acme", "alice"), Sessions) for _ in range(5)), return_exceptions=True
    )
    assert [isinstance(result, Problem) and result.status for result in results] == [False] * 3 + [503] * 2
    assert (await questions.ask(Find("acme", "alice"), Sessions)).missing == ["b"]


async def test_answers_that_wait_for_the_bus_go_as_one_group_and_are_bounded(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OUTBOX", 10)
    worker = cluster.owner("b", "alice")
    await asyncio.sleep(0.01)
    worker.bus.groups.clear()
    ask = Ask(5, Node("z", 9), 77, Find("acme", "alice"))
    for _ in range(25):
        worker.questions.hear(encode_word(ask))
    await asyncio.sleep(0.01)
    assert [len(group) for group in worker.bus.groups] == [10]
    [answer] = {parcel.payload for parcel in worker.bus.groups[0]}
    assert isinstance(decode_word(answer), Answer)
    assert {parcel.shard for parcel in worker.bus.groups[0]} == {77}


@pytest.mark.parametrize("error", [Problem("too_large", "9 bytes"), ZeroDivisionError(), BusUnavailable("away")])
async def test_an_answer_that_cannot_be_published_does_not_stop_the_next(
    cluster: Cluster, short: None, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = cluster.owner("b", "alice")
    publish = owner.bus.publish

    async def fail(parcels: Any) -> None:
        raise error

    monkeypatch.setattr(owner.bus, "publish", fail)
    ask: Callable[[], Any] = lambda: cluster.nodes["a"][0].questions.ask(Find("acme", "alice"), Sessions)  # noqa: E731
    with capture_logs():
        assert (await ask()).missing == ["b"]
    monkeypatch.setattr(owner.bus, "publish", publish)
    assert (await ask()).missing == []


async def test_stopping_does_not_hang_on_a_bus_that_is_gone(cluster: Cluster, short: None) -> None:
    worker = cluster.nodes["a"][0]
    worker.bus.stalls = True
    await asyncio.wait_for(worker.questions.stop(), 1)
    worker.bus.connected = False
    await asyncio.wait_for(worker.questions.stop(), 1)


async def test_a_node_of_our_name_is_told_of_once_and_by_the_worker_that_speaks_for_the_node() -> None:
    worker, silent = (Worker(Wire(), Node("a", 1), index) for index in range(WORKERS))
    with capture_logs() as logs:
        for tick in range(10 * EVERY):
            for each in (worker, silent):
                if tick % EVERY == 0:
                    each.questions.hear(encode_word(Here(Node("a", 2))))
                each.questions.presence.tick() if each is silent else each.questions.tick()
    assert [log["name"] for log in logs if log["log_level"] == "error"] == ["a"]


async def test_whoever_speaks_for_a_node_says_what_happened_to_it(cluster: Cluster, short: None) -> None:
    for worker in cluster.nodes["a"]:
        gathered = await worker.questions.ask(Recall(), Recalled)
        told = [(node, reply.events[0].facts["who"]) for node, reply in gathered.replies]
        assert told == [("a", worker.name), ("b", "b/0"), ("c", "c/0")]
    cluster.quiet("b")
    assert (await cluster.nodes["a"][1].questions.ask(Recall(), Recalled)).missing == ["b"]


async def test_one_worker_of_a_node_notes_which_others_come_and_go() -> None:
    with capture_logs() as logs:
        cluster = Cluster("a", "b", "c")
        await cluster.tick(SETTLED + EVERY)
        told = [(log["event"], log["other"]) for log in logs]
        assert sorted(told) == sorted([("another node is there", name) for name in "abc"] * 2)
        assert all(log["lifecycle"] for log in logs)
        logs.clear()
        await cluster.tick(2 * EVERY)
        await cluster.nodes["b"][0].questions.stop()
        cluster.quiet("b")
        await cluster.tick(2 * EVERY)
        assert [(log["event"], log["other"]) for log in logs] == [("another node has left", "b")] * 2
        logs.clear()
        cluster.quiet("c")
        await cluster.tick(FORGOTTEN + 2 * EVERY)
        assert {log["event"] for log in logs} == {"another node is gone without a word"}
        assert sorted(log["other"] for log in logs) == ["a", "a", "c", "c"], "who is quiet hears nobody either"


async def test_a_node_says_where_it_is_addressed_and_at_once_when_that_changes(cluster: Cluster) -> None:
    for number, name in enumerate(cluster.nodes, 1):
        cluster.nodes[name][0].home = number
    await cluster.tick()
    await until(lambda: all(worker.questions.presence.homes == {1, 2, 3} for worker in cluster.workers))
    cluster.nodes["b"][0].home = 0
    await cluster.tick()
    await until(lambda: all(worker.questions.presence.homes is None for worker in cluster.workers))


async def test_while_worker_0_is_stuck_another_says_that_the_node_is_there(cluster: Cluster) -> None:
    stuck, other = cluster.nodes["b"]
    other.home = 5
    cluster.nodes["b"] = [other]
    for _ in range(2 * FORGOTTEN):
        await cluster.tick()
        here = cluster.nodes["a"][0].questions.presence
        assert len(here.nodes) == 3
    assert stuck.bus.groups
    words = [decode_word(parcel.payload) for group in other.bus.groups for parcel in group]
    assert 0 < sum(isinstance(word, Here) for word in words) <= (2 * FORGOTTEN - STUCK) / EVERY
    cluster.nodes["b"] = [stuck, other]
    await cluster.tick(EVERY)
    other.bus.groups.clear()
    await cluster.tick(STUCK)
    assert other.bus.groups == []


async def test_who_is_to_speak_for_the_node_from_now_on_says_so_at_once(cluster: Cluster) -> None:
    worker = cluster.nodes["a"][0]
    worker.questions.be_silent()
    await cluster.tick()
    worker.bus.groups.clear()
    worker.questions.speak()
    await until(lambda: len(worker.bus.groups) == 1)
    assert decode_word(worker.bus.groups[0][0].payload) == Here(Node("a", 0))
