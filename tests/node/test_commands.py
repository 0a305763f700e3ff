"""The socket in the data directory, from both ends."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pushgate.errors import StartError
from pushgate.node import commands
from pushgate.node.commands import Commands, DrainProgress, Refusal, UpgradeProgress, ask_drain, ask_upgrade
from pushgate.node.loop import Loop

HALF = DrainProgress("draining", 5, 10, 30.0, 60.0)
DONE = DrainProgress("drained", 0, 10, 0.0, 60.0)

STEPS: list[DrainProgress | UpgradeProgress] = [
    UpgradeProgress("under way", "the new program starts", 7),
    HALF,  # of others
    UpgradeProgress("done", "done", 7),
    UpgradeProgress("under way", "not for whoever has left"),
]


class Supervisor:
    """A supervisor's loop on a thread of its own, with a socket that answers as told."""

    def __init__(self, data_dir: Path) -> None:
        self.asked: list[float] = []
        self.refusal: Refusal | None = None
        self.loop = Loop()
        self.commands = Commands(self.loop, self._drain, self._upgrade)
        self.commands.open(data_dir)
        self._ours, theirs = socket.socketpair()
        self.loop.watch(theirs, self._end)
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _drain(self, seconds: float) -> Refusal | None:
        self.asked.append(seconds)
        self.commands.tell(HALF)
        return self.refusal

    def _upgrade(self) -> Refusal | None:
        if self.refusal is None:
            for progress in STEPS:
                self.commands.tell(progress)
        return self.refusal

    def _run(self) -> None:
        while not self._ended:
            self.loop.turn()

    def _end(self) -> None:
        self._ended = True

    def end(self) -> None:
        """End as a process does: its descriptors are closed, and the file stays."""
        self._ours.send(b"!")
        self._thread.join()
        for key in list(self.loop._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._ours.close()
        self.loop._selector.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a path that no address of a socket holds."""
    path = tmp_path / ("x" * 120)
    path.mkdir()
    return path


@pytest.fixture
def supervisor(place: Path) -> Iterator[Supervisor]:
    made = Supervisor(place)
    yield made
    if made._thread.is_alive():
        made.end()


def test_a_drain_is_told_of_until_the_supervisor_ends(place: Path, supervisor: Supervisor) -> None:
    progress = ask_drain(place, 60)
    assert next(progress) == HALF
    supervisor.commands.tell(DONE)
    assert next(progress) == DONE
    supervisor.end()
    assert list(progress) == []
    assert supervisor.asked == [60]
    with pytest.raises(StartError, match="no node runs there"):
        next(ask_drain(place, 60))
    again = Supervisor(place)  # in the place of the file that was left behind
    assert next(ask_drain(place, 1)) == HALF
    again.end()


def test_a_refusal_says_why(place: Path, supervisor: Supervisor) -> None:
    supervisor.refusal = Refusal("it stops already")
    with pytest.raises(StartError, match="the node refuses: it stops already"):
        list(ask_drain(place, 60))
    with pytest.raises(StartError, match="the node refuses: it stops already"):
        next(ask_upgrade(place))


def test_an_upgrade_is_told_of_until_it_is_done(place: Path, supervisor: Supervisor) -> None:
    assert list(ask_upgrade(place)) == [STEPS[0], STEPS[2]]


@pytest.mark.parametrize(
    "said", [b"nonsense", b"{}", b'{"do":"dance"}', b'{"do":"drain","over":-1}', b'{"do":"drain","over":"60"}', b"\xff"]
)
def test_what_is_no_command_is_refused(place: Path, supervisor: Supervisor, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller, commands._short(place) as path:
        caller.connect(path)
        caller.send(said)
        answer = commands._read_answer(caller.recv(4096))
    assert isinstance(answer, Refusal)
    assert supervisor.asked == []
    assert next(ask_drain(place, 1)) == HALF, "others are served"


def test_callers_that_go_or_do_not_read_hold_nothing_up(place: Path, supervisor: Supervisor) -> None:
    deaf = ask_drain(place, 60)
    assert next(deaf) == HALF
    gone = ask_drain(place, 60)
    assert next(gone) == HALF
    assert next(deaf) == HALF, "everybody is told"
    gone.close()  # type: ignore[attr-defined]
    for _ in range(3000):  # more than the kernel keeps
        supervisor.commands.tell(DONE)
    assert next(deaf) == DONE


def test_a_supervisor_that_is_stuck_is_not_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stuck:
        with commands._short(place) as path:
            stuck.bind(path)
        stuck.listen()
        with pytest.raises(StartError, match="says nothing any more"):
            next(ask_drain(place, 60))


def test_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no node runs there"):
        next(ask_drain(tmp_path / "none", 60))


def test_a_directory_that_takes_no_socket_is_a_warning(tmp_path: Path) -> None:
    loop = Loop()
    with capture_logs() as logs:
        Commands(loop, lambda seconds: None, lambda: None).open(tmp_path / "none")
    assert [line["log_level"] for line in logs] == ["warning"]
    assert not loop._selector.get_map()
