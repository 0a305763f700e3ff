"""A node that was alone joins a cluster: what its server has stored goes there, brought by a process of its own.

A server in a cluster deletes the streams that the cluster does not know, 30 s after its start. So before it starts as
a member for the first time, what it has is set aside as a data directory of its own, `single/`, which stays until an
operator removes it. A second server on that directory gives the streams to the mover.
"""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from pushgate import log
from pushgate.config import LogConfig
from pushgate.errors import InboxUnavailable, PushgateError
from pushgate.inbox.nats_move import Move
from pushgate.nats.connection import Connection
from pushgate.node.back_off import BackOff
from pushgate.node.data_dir import DataDir, write_whole
from pushgate.node.embedded.server import NatsServer, known_url
from pushgate.node.embedded.state import MOVED, single_of
from pushgate.node.loop import Loop

STOP_PATIENCE = 5.0
"""Seconds that it has to end its second server; one that is left behind is adopted by the next."""
START_TIMEOUT = 30.0
"""Seconds that the second server is given to read what it has."""
AGAIN = 0.3
"""Seconds until a move that failed goes on; a cluster needs some until it has a leader."""
IN_USE = 3
"""The exit status of a mover that has to leave streams out."""

_log = log.get_logger("inbox", lifecycle=True)


class Mover:
    """The process that brings the streams, and again when it ends before all are there. `start` and `stop` it."""

    def __init__(self, path: Path, program: str, replicas: int, logs: LogConfig, loop: Loop) -> None:
        """`path` is the node's data directory, `program` nats-server, `replicas` how many copies the cluster keeps."""
        arguments = (str(path.absolute()), program, str(replicas), logs.level, logs.style)
        self._command = [sys.executable, "-m", __name__, *arguments]
        self._single = single_of(path / "nats")
        self._loop = loop
        self._back_off = BackOff()
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._stopped = False

    def start(self) -> None:
        """Begin, if there is something to move."""
        if self._stopped or not (self._single / "nats" / "jetstream").exists() or (self._single / MOVED).exists():
            return
        self._back_off.note_start()
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.watch(self._pidfd, self._lose)

    def stop(self) -> None:
        """End it; it goes on with the next start of the node."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _lose(self) -> None:
        self._loop.unwatch(self._pidfd)
        os.close(self._pidfd)
        assert self._process is not None
        status = self._process.wait()
        self._process = None
        if status == IN_USE:
            _log.error("this node's former messages stay out of the cluster, which has others", kept=str(self._single))
        elif status and not self._stopped:
            self._loop.after(self._back_off.pause() + AGAIN, self.start)


async def move(home: Path, server: NatsServer, replicas: int) -> list[str]:
    """Move what `server` has to the cluster of the node whose server's files are at `home`, however long it takes;
    returns the names of the streams that stay out."""
    complained = ""
    while True:
        old, new = Connection(server.url, "inbox", "moving from"), Connection(known_url(home), "inbox", "moving to")
        try:
            for connection in (old, new):
                connection.start()
            moving = Move(await old.ready(), await new.ready(), replicas, server.lineage)
            while old.connected and new.connected:
                try:
                    return await moving.run()
                except InboxUnavailable as error:
                    if str(error) != complained:
                        _log.info("this node's messages wait to be moved into the cluster", reason=str(error))
                    complained = str(error)
                await asyncio.sleep(AGAIN)
        finally:
            await old.stop()
            await new.stop()


def main(path: str, program: str, replicas: str) -> int:
    """Be the mover; returns the exit status."""
    home = Path(path) / "nats"
    single = single_of(home)
    with closing(DataDir.open(single)) as data_dir:
        server = NatsServer(data_dir, program)
        try:
            server.start()
            server.ready(START_TIMEOUT)
            left = asyncio.run(move(home, server, int(replicas)))
        finally:
            server.stop(STOP_PATIENCE / 2)
        if left:
            _log.error("the cluster has streams of these names already, and they are in use", streams=left)
            return IN_USE
        write_whole(single / MOVED, b"")
    _log.info("this node's messages are in the cluster; their old place can be removed", place=str(single))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and not at once: the second server has to go first
    log.set_up(sys.argv[4], sys.argv[5])  # type: ignore[arg-type]
    try:
        sys.exit(main(*sys.argv[1:4]))
    except PushgateError as error:
        _log.error("moving failed", reason=str(error))
        sys.exit(1)
