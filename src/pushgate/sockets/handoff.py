"""The hand-off: accepted sockets go, with what was learnt and read, to the worker that owns their user.

Each worker has a channel (a pair of SOCK_SEQPACKET sockets made by the supervisor before the fork): its own end to
receive from, and an end to send to which all workers share. A packet is a MessagePack list of records, with a
descriptor for each (SCM_RIGHTS). What is on its way to a worker that died waits in the channel for its successor.
"""

import os
import socket
from array import array
from collections.abc import Callable, Sequence

from msgspec import DecodeError, msgpack

from pushgate.log import get_logger
from pushgate.metrics.catalogue import HANDED_OFF, REFUSED
from pushgate.metrics.rows import Row
from pushgate.sockets.poller import Poller

PACKET_SOCKETS = 64
PACKET_BYTES = 96 * 1024
RECEIVE_BYTES = 256 * 1024
RECEIVE_BUDGET = 4
"""Packets received in one turn."""
WAITING_BOUND = 2048
"""Sockets that may wait for one worker's channel; beyond that the node is overloaded."""
RETRY_SECONDS = 0.005

_log = get_logger("sockets")
_decode = msgpack.Decoder(list[bytes]).decode
_encode = msgpack.Encoder().encode


def open_channel() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a worker's channel: the one it receives from, the one that all send to."""
    receiving, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (receiving, sending):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
    return receiving, sending


def receive_files(channel: socket.socket, size: int, count: int) -> tuple[bytes, list[int]]:
    """Return the next packet, of so many bytes at the most, and its descriptors, so many at the most, closed on exec.

    (`socket.recv_fds` of Python 3.11 takes flags and does not pass them on.) Raises OSError as recvmsg does.
    """
    packet, ancillary, _, _ = channel.recvmsg(size, socket.CMSG_SPACE(count * 4), socket.MSG_CMSG_CLOEXEC)
    files = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            files.frombytes(data[: len(data) - len(data) % files.itemsize])
    return packet, list(files)


class HandOffs:
    """Sends sockets to the other workers and receives theirs.

    `on_arrival(fd, record)` takes over a received descriptor; it is closed when that raises. Sends are gathered over a
    batch of the poller's events.
    """

    def __init__(
        self,
        receiving: socket.socket,
        sending: Sequence[socket.socket],
        poller: Poller,
        row: Row,
        on_arrival: Callable[[int, bytes], None],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._receiving = receiving
        self._poller = poller
        self._sending = sending
        self._row = row
        self._on_arrival = on_arrival
        self._call_later = call_later
        self._waiting: list[list[tuple[int, bytes]]] = [[] for _ in sending]
        self._dirty: set[int] = set()
        self._retrying = False
        self._complaint: int | None = None
        poller.after_batch(self.flush)

    def start(self) -> None:
        """Begin to receive."""
        self._poller.add(self._receiving.fileno(), self)

    def stop(self) -> None:
        """Receive no more: what comes waits for this worker's successor. What was gathered is still sent."""
        self._poller.release(self._receiving.fileno())

    def send(self, worker: int, fd: int, record: bytes) -> bool:
        """Pass a descriptor that was released from the poller; it is closed here once it is on its way.

        Returns False, with the descriptor still the caller's, when too many wait for that worker already.
        """
        waiting = self._waiting[worker]
        if len(waiting) >= WAITING_BOUND:
            return False
        waiting.append((fd, record))
        self._dirty.add(worker)
        return True

    def flush(self) -> None:
        """Send what was gathered; what a full channel does not take is tried again a little later."""
        if not self._dirty:
            return
        for worker in tuple(self._dirty):
            waiting = self._waiting[worker]
            while waiting:
                sent = self._send_packet(self._sending[worker], waiting)
                if sent == 0:
                    break
                for fd, _ in waiting[:sent]:
                    os.close(fd)
                del waiting[:sent]
                self._row[HANDED_OFF] += sent
            if not waiting:
                self._dirty.discard(worker)
        if self._dirty and not self._retrying:
            self._retrying = True
            self._call_later(RETRY_SECONDS, self._retry)

    def readable(self, fd: int) -> None:
        """Receive a few packets (Handler)."""
        for _ in range(RECEIVE_BUDGET):
            try:
                packet, fds = receive_files(self._receiving, RECEIVE_BYTES, PACKET_SOCKETS)
            except (BlockingIOError, InterruptedError):
                return
            try:
                records = _decode(packet)
            except DecodeError:
                _log.error("a hand-off could not be read", bytes=len(packet))
                records = []
            for arrived, record in zip(fds, records, strict=False):
                self._take(arrived, record)
            if len(fds) != len(records):
                # Out of files: the kernel dropped the descriptors that did not fit, and so those clients.
                self._row[REFUSED["files"]] += abs(len(records) - len(fds))
                for extra in fds[len(records) :]:
                    os.close(extra)

    def fail(self, fd: int) -> None:
        """Go on: the channel is shared with all workers, and with this one's successor (Handler)."""

    def _take(self, fd: int, record: bytes) -> None:
        try:
            self._on_arrival(fd, record)
        except Exception:
            _log.exception("a connection could not be taken over")
            os.close(fd)

    def _send_packet(self, channel: socket.socket, waiting: list[tuple[int, bytes]]) -> int:
        count = size = 0
        for _, record in waiting[:PACKET_SOCKETS]:
            size += len(record)
            if count and size > PACKET_BYTES:
                break
            count += 1
        batch = waiting[:count]
        try:
            socket.send_fds(channel, [_encode([record for _, record in batch])], [fd for fd, _ in batch])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            # ETOOMANYREFS: too many descriptors of this user are on their way; the receiver will take them.
            if error.errno != self._complaint:
                self._complaint = error.errno
                _log.warning("hand-offs have to wait", reason=error.strerror)
            return 0
        self._complaint = None
        return count

    def _retry(self) -> None:
        self._retrying = False
        self.flush()
