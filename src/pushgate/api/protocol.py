"""HTTP connections: uvicorn's protocol, which answers `POST /v1/push` itself as soon as it is parsed.

- One parser reads everything on a connection, so nobody can disagree with it about where a request ends. A push is
  spared it that comes alone and whole, under a head that it has read before, byte for byte.
- A request for exactly `POST /v1/push` is answered here; every other one, another spelling of that path included,
  goes through uvicorn's ASGI cycle into Litestar.
- Answers come in the order of the requests. `cycle` is the request parsed last; those that wait for an answer before
  theirs stand in `pipeline`, and while there are any, nothing more is read.
- No timer, task or context is made for a push. Deadlines are kept by a sweep over all connections.
"""

from functools import partial

from pushgate.api.connection import BODY, HEAD, NOTHING, Connection, LastRequest
from pushgate.api.cycle import PushCycle
from pushgate.api.drive import Drive
from pushgate.api.heads import Head
from pushgate.api.problems import Answer, answer_problem
from pushgate.api.push import PUSH_PATH
from pushgate.api.request_id import request_id_of
from pushgate.errors import Problem

_PATH = PUSH_PATH.encode()


class ApiProtocol(Connection):
    """One connection of a caller."""

    def data_received(self, data: bytes) -> None:
        """Take a push whose head is known; parse everything else."""
        state = self.server_state
        if (
            self._receiving
            or self._last
            or self._lingering
            or self._busy()
            or state.stopping
            or state.calls is not None
        ):
            super().data_received(data)
            return
        end = data.find(b"\r\n\r\n") + 4
        head, size = data[:end], len(data) - end
        known = state.heads.find(head)
        if known is None or known.size != size:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._remember(head, size)
            return
        self._since = state.now
        cycle = PushCycle(turn=True)
        self.cycle = cycle  # type: ignore[assignment]
        cycle.tenant, cycle.form = known.tenant, known.form
        cycle.body = data[end:]
        cycle.complete = True
        self._answer(cycle)

    def _remember(self, head: bytes, size: int) -> None:
        """Remember a head that was parsed, when nothing but its push, with a body of `size`, came with it."""
        cycle = self.cycle
        if (
            isinstance(cycle, PushCycle)
            and cycle.size == size  # so there is one request, and its body is not in chunks
            and cycle.complete
            and cycle.keep_alive
            and not (cycle.refusal or cycle.expects or cycle.request_id or self._receiving)
        ):
            self.server_state.heads.add(head, Head(cycle.tenant, cycle.form, size))

    # What the parser finds

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._last:
            raise LastRequest
        self.url = b""
        self.headers = []
        self._receiving = HEAD
        self._received = self._body = 0
        self._since = self.server_state.now

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody reads."""
        if self._receiving == HEAD:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete: it is a push, or Litestar's."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._declining = True
            return
        self._receiving = BODY
        if self.url == _PATH and self.parser.get_method() == b"POST":
            self._begin_push()
            return
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        super().on_headers_complete()
        if self.parser.should_upgrade() or self.server_state.stopping:  # CONNECT, of which nothing follows
            self.cycle.keep_alive = False
        self._last = not self.cycle.keep_alive

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._body += len(body)
        cycle = self.cycle
        if not isinstance(cycle, PushCycle):
            super().on_body(body)
        elif not cycle.complete:
            cycle.size += len(body)
            if cycle.size > self._route.max_body:
                if cycle.refusal is None:
                    cycle.refusal = self._route.refuse(self._route.too_large(), cycle.request_id)
                self._cut(cycle)
            elif cycle.refusal is None:
                cycle.add(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self._declining:
            return
        self._receiving = NOTHING
        cycle = self.cycle
        if not isinstance(cycle, PushCycle):
            super().on_message_complete()
        elif not cycle.complete:
            cycle.complete = True
            if cycle.turn:
                self._answer(cycle)

    # Pushes

    def _begin_push(self) -> None:
        parser, route = self.parser, self._route
        headers = dict(self.headers)
        expects = headers.get(b"expect", b"").lower() == b"100-continue"
        turn = not self._busy()
        cycle = PushCycle(turn)
        self.cycle = cycle  # type: ignore[assignment]
        if b"x-request-id" in headers:
            cycle.request_id = request_id_of(headers)
        if self.server_state.calls is not None:
            cycle.call = self.server_state.calls.begin(headers, PUSH_PATH)
            if cycle.call is not None:
                cycle.request_id = cycle.call.request_id
        if not parser.should_keep_alive() or self.server_state.stopping or parser.get_http_version() != "1.1":
            cycle.keep_alive = False
            self._last = True
        if not turn:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, None))  # type: ignore[arg-type]
        try:
            if len(headers) != len(self.headers):
                _check_single([name for name, _ in self.headers])
            cycle.tenant, cycle.form = route.admit(headers.get(b"authorization"), headers.get(b"content-type"))
            if int(headers.get(b"content-length", 0)) > route.max_body:
                cycle.refusal = route.refuse(route.too_large(), cycle.request_id)
                self._cut(cycle)
        except Problem as problem:
            cycle.refusal = route.refuse(problem, cycle.request_id)
            if expects:
                self._cut(cycle)
        if expects and not cycle.complete:
            cycle.expects = True
            if turn:
                self._continue(cycle)

    def _continue(self, cycle: PushCycle) -> None:
        """Tell a caller who asked that its body is wanted."""
        if cycle.expects and not cycle.size:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _cut(self, cycle: PushCycle) -> None:
        """Refuse a push without reading (the rest of) its body."""
        cycle.complete = True
        cycle.keep_alive = False
        self._last = True
        if cycle.turn:
            self._answer(cycle)

    def _answer(self, cycle: PushCycle) -> bool:
        """Answer a complete push whose turn it is; False when its answer comes later."""
        if cycle.refusal is not None:
            self._write(cycle, cycle.refusal)
            return True
        coroutine = self._route.push(cycle.tenant, bytes(cycle.body), cycle.form, cycle.request_id, cycle.call)
        try:
            future = coroutine.send(None)
        except StopIteration as stop:
            self._write(cycle, stop.value)
            return True
        Drive(coroutine, future, partial(self._answer_late, cycle))
        return False

    def _answer_late(self, cycle: PushCycle, answer: Answer) -> None:
        self._write(cycle, answer)
        self._go_on()

    # Order and end

    def on_response_complete(self) -> None:
        """Litestar has answered."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self._go_on()

    def _go_on(self) -> None:
        """Begin with what waited for the answer just written."""
        if not self._receiving:
            self._since = self.server_state.now
        while self.pipeline and not self.transport.is_closing() and not self._lingering:
            cycle, app = self.pipeline.pop()
            if not isinstance(cycle, PushCycle):
                self._start_asgi_task(cycle, app)
                break
            cycle.turn = True
            if not cycle.complete:
                self._continue(cycle)
                break
            if not self._answer(cycle):
                break
        if not self.pipeline and not self.flow.write_paused and not self.transport.is_closing():
            self.flow.resume_reading()

    def _fail(self, code: str, detail: str) -> None:
        """Answer what cannot be parsed, after the answers that are owed before it, and close."""
        broken = PushCycle(turn=not self._busy())
        broken.refusal = answer_problem(
            Problem(code, detail), request_id_of(dict(self.headers) if self._receiving else {})
        )
        current = self.cycle
        if self._receiving == BODY and self._busy():
            # what breaks has a cycle of its own already: take that one's place
            if self.pipeline and self.pipeline[0][0] is current:
                self.pipeline.popleft()
            elif isinstance(current, PushCycle):
                broken.turn = True
            elif current.response_started:
                self.transport.close()
                return
            else:
                broken.turn = True
                current.disconnected = True
                current.message_event.set()
        self.cycle = broken  # type: ignore[assignment]
        if not broken.turn:
            self.flow.pause_reading()
            self.pipeline.appendleft((broken, None))  # type: ignore[arg-type]
        self._cut(broken)


def _check_single(names: list[bytes]) -> None:
    for name in (b"authorization", b"content-type"):
        if names.count(name) > 1:
            raise Problem("bad_request", f"expected one {name.decode()} header, got several")
