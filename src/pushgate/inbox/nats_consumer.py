"""A push consumer without acknowledgements: its own sequence has no holes, so that every gap shows.

It is a `direct` one, as mirrors have: the stream's leader makes it, on its own server, without asking the others. For a
usual one the leader of all JetStream chooses a server. That leader may have to be elected first; and of a server that
was killed it believes for minutes that it is there, so that every third consumer would be given to the dead.
"""

from collections.abc import Callable, Sequence
from secrets import token_hex

from pushgate.errors import InboxUnavailable
from pushgate.inbox.nats_stream import Stream, call_api
from pushgate.nats.link import NatsLink
from pushgate.nats.replies import header

HEARTBEAT = 1
"""Seconds after which one that has nothing to send says that it is there."""
KEPT = 10
"""Seconds that the server keeps one to which nobody listens."""

OnMessage = Callable[[int, float, bytes, bytes, bytes], None]
"""Takes a message's sequence, when it was stored (seconds since 1970), subject, headers and payload."""


def _nothing() -> None:
    """Care for nothing."""


class Consumer:
    """What one is sent of some subjects of a stream, in order, until there is a hole. `on_idle` is called when there
    has been nothing to send for a while. `silent` counts the ticks since it was last heard of.
    """

    def __init__(
        self,
        link: NatsLink,
        stream: Stream,
        filters: Sequence[str],
        on_message: OnMessage,
        on_hole: Callable[[], None],
        on_idle: Callable[[], None] = _nothing,
    ) -> None:
        self._link = link
        self._stream = stream
        self._filters = filters
        self._on_message = on_message
        self._on_hole = on_hole
        self._on_idle = on_idle
        self._delivered = 0
        self._sid = 0
        self.name = token_hex(8)  # not at import: workers are forked, and two consumers of one name would be one
        self._path = (stream.name.encode(), self.name.encode())
        self.silent = 0

    async def open(self, after: int) -> None:
        """Make it, to begin above a sequence. Raises InboxUnavailable; `close` it in any case."""
        deliver = f"_INBOX.{self.name}"
        self._sid = self._link.listen(deliver, self._take)
        config = {
            "name": self.name,
            "deliver_subject": deliver,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "filter_subjects": self._filters,
            "ack_policy": "none",
            "direct": True,
            "idle_heartbeat": HEARTBEAT * 10**9,
            "flow_control": True,
            "inactive_threshold": KEPT * 10**9,
            "mem_storage": True,
            "num_replicas": 1,
        }
        stream = self._stream.name
        subject = f"CONSUMER.CREATE.{stream}.{self.name}"
        answer = await call_api(self._link, subject, {"stream_name": stream, "config": config}, repeat=True)
        if "error" in answer:
            raise InboxUnavailable(f"stream {stream}: {answer['error'].get('description')}")

    def close(self) -> None:
        """Take nothing more from it, and let the server forget it; in a cluster it does by itself, after KEPT."""
        self._link.leave(self._sid)
        self._link.write((b"PUB $JS.API.CONSUMER.DELETE.%b.%b 0\r\n\r\n" % self._path,))

    def _take(self, subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> None:
        self.silent = 0
        if headers[8:12] == b" 100":
            self._take_word(reply, headers)
            return
        sequence, delivered, stored = _places(reply)
        if delivered == self._delivered + 1:
            self._delivered = delivered
            self._on_message(sequence, stored, subject, headers, payload)
        else:
            self._on_hole()

    def _take_word(self, reply: bytes, headers: bytes) -> None:
        """Take a heartbeat, or a question whether we keep up."""
        answer_to = reply or header(headers, b"Nats-Consumer-Stalled")
        if answer_to:
            self._link.write((b"PUB %b 0\r\n\r\n" % answer_to,))
        last = header(headers, b"Nats-Last-Consumer")
        if last and int(last) != self._delivered:
            self._on_hole()
        elif last and not answer_to:
            self._on_idle()


def _places(reply: bytes) -> tuple[int, int, float]:
    """Return a message's sequence in the stream and in the consumer, and when it was stored: they stand in its reply
    subject, `$JS.ACK.<stream>.<consumer>.<deliveries>.<in the stream>.<in the consumer>.<time>.<to come>`, or with
    domain and account before the stream, and maybe more behind."""
    tokens = reply.split(b".")
    first = 5 if len(tokens) == 9 else 7
    return int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 2]) / 1e9
