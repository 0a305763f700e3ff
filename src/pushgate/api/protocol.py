"""HTTP connections: uvicorn's protocol, which answers `POST /v1/push` itself as soon as it is parsed.

- One parser reads everything on a connection, so nobody can disagree with it about where a request ends.
- A request for exactly `POST /v1/push` is answered here; every other one, another spelling of that path included,
  goes through uvicorn's ASGI cycle into Litestar.
- Answers come in the order of the requests. `cycle` is the request parsed last; those that wait for an answer before
  theirs stand in `pipeline`, and while there are any, nothing more is read.
- No timer, task or context is made for a push. Deadlines are kept by a sweep over all connections.
"""

from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pushgate.api.cycle import PushCycle
from pushgate.api.drive import Drive
from pushgate.api.problems import Answer, answer_problem
from pushgate.api.push import PUSH_PATH
from pushgate.api.state import ApiState
from pushgate.errors import Problem

MAX_HEAD = 64 * 1024
"""Bytes of a request's head that may come after the packet it begins in."""

RECEIVE_TIMEOUT = 30.0
"""Seconds from the first byte of a request to its last."""

ANSWER_TIMEOUT = 60.0
"""Seconds from the first byte of a request to the end of its answer."""

LINGER = 3.0
"""Seconds that a closing connection has for its last bytes."""

_PATH = PUSH_PATH.encode()
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_NOTHING, _HEAD, _BODY = range(3)


class _LastRequest(Exception):  # noqa: N818 - it ends parsing, it is no error
    """Raised into the parser at the request after the last one that is answered."""


class ApiProtocol(HttpToolsProtocol):
    """One connection of a caller."""

    server_state: ApiState

    def __init__(self, config: Any, server_state: ApiState, loop: Any) -> None:
        super().__init__(config, server_state, {}, loop)
        self._route = server_state.route
        self._receiving = _NOTHING
        self._received = 0
        self._last = False  # no request after the current one is answered
        self._lingering = False  # answered and half closed; what still comes is thrown away
        self._since = server_state.now

    # Bytes from the caller

    def data_received(self, data: bytes) -> None:
        """Parse, which answers what is complete."""
        if self._lingering:
            return
        before = self._receiving
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # such a request is answered like any other, and is the last
        except httptools.HttpParserError:
            if not self._last:
                self._fail("bad_request", "this is not HTTP/1.1")
            return
        if before and self._receiving:
            self._received += len(data)
            # a chunked body may be several times as long on the wire
            if self._received > (MAX_HEAD if self._receiving == _HEAD else MAX_HEAD + 8 * self._route.max_body):
                self._fail("too_large", "the request is too long")

    def eof_received(self) -> bool | None:
        """Close, or first answer what was asked."""
        if self._receiving or self._lingering or not self._busy():
            return None
        self.cycle.keep_alive = False
        self._last = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was asked and not begun."""
        self.pipeline.clear()
        super().connection_lost(exc)
        if not self.connections:
            self.server_state.empty.set()

    def pause_writing(self) -> None:
        """Stop reading from a caller that does not read."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        super().resume_writing()
        if not self.pipeline:
            self.flow.resume_reading()

    # What the parser finds

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._last:
            raise _LastRequest
        self.url = b""
        self.headers = []
        self._receiving = _HEAD
        self._received = 0
        self._since = self.server_state.now

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody reads."""
        if self._receiving == _HEAD:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete: it is a push, or Litestar's."""
        self._receiving = _BODY
        if self.url == _PATH and self.parser.get_method() == b"POST":
            self._begin_push()
            return
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
        super().on_headers_complete()
        if self.parser.should_upgrade() or self.server_state.stopping:
            self.cycle.keep_alive = False
        self._last = not self.cycle.keep_alive

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        cycle = self.cycle
        if not isinstance(cycle, PushCycle):
            super().on_body(body)
        elif not cycle.complete:
            cycle.size += len(body)
            if cycle.size > self._route.max_body:
                self._cut(cycle, self._route.too_large())
            elif cycle.refusal is None:
                cycle.add(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._receiving = _NOTHING
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
        if (
            not parser.should_keep_alive()
            or b"upgrade" in headers
            or self.server_state.stopping
            or parser.get_http_version() != "1.1"
        ):
            cycle.keep_alive = False
            self._last = True
        if not turn:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, None))  # type: ignore[arg-type]
        try:
            if len(headers) != len(self.headers):
                _check_single([name for name, _ in self.headers])
            cycle.tenant = route.admit(headers.get(b"authorization"), headers.get(b"content-type"))
            if int(headers.get(b"content-length", 0)) > route.max_body:
                self._cut(cycle, route.too_large())
        except Problem as problem:
            if expects:
                self._cut(cycle, problem)
            cycle.refusal = problem
        if expects and not cycle.complete:
            cycle.expects = True
            if turn:
                self._continue(cycle)

    def _continue(self, cycle: PushCycle) -> None:
        """Tell a caller who asked that its body is wanted."""
        if cycle.expects and not cycle.size:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _cut(self, cycle: PushCycle, problem: Problem) -> None:
        """Refuse a push without reading (the rest of) its body."""
        cycle.refusal = problem
        cycle.complete = True
        cycle.keep_alive = False
        self._last = True
        if cycle.turn:
            self._answer(cycle)

    def _answer(self, cycle: PushCycle) -> bool:
        """Answer a complete push whose turn it is; False when its answer comes later."""
        if cycle.refusal is not None:
            self._write(cycle, self._route.refuse(cycle.refusal))
            return True
        coroutine = self._route.push(cycle.tenant, bytes(cycle.body))
        try:
            future = coroutine.send(None)
        except StopIteration as stop:
            self._write(cycle, stop.value)
            return True
        Drive(coroutine, future, lambda answer: self._answer_late(cycle, answer))
        return False

    def _answer_late(self, cycle: PushCycle, answer: Answer) -> None:
        self._write(cycle, answer)
        self._go_on()

    def _write(self, cycle: PushCycle, answer: Answer) -> None:
        """Write the answer to a push, unless its caller is gone."""
        cycle.response_complete = True
        state = self.server_state
        state.total_requests += 1
        transport = self.transport
        if transport.is_closing():
            return
        status, body, headers = answer
        if status == 202 and cycle.keep_alive:
            transport.write(_ACCEPTED % (state.head, len(body), body))
            return
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
        if not cycle.keep_alive:
            extra += "connection: close\r\n"
        transport.write(
            b"HTTP/1.1 %d %b\r\n%bcontent-type: %b\r\ncontent-length: %d\r\n%b\r\n%b"
            % (
                status,
                _PHRASES[status].encode(),
                state.head,
                answer.content_type.encode(),
                len(body),
                extra.encode(),
                body,
            )
        )
        if not cycle.keep_alive:
            self._close()

    # Order and end

    def _busy(self) -> bool:
        """Whether an answer is owed."""
        return self.cycle is not None and not self.cycle.response_complete

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
        """Answer what cannot be parsed, if it is its turn, and close."""
        self._last = True
        cycle = self.cycle
        if self._busy() and (
            not (isinstance(cycle, PushCycle) and cycle.turn and not cycle.complete) or self.pipeline
        ):
            # an answer before it is owed: that one goes out, and is the last
            if self._receiving == _BODY:
                self.transport.close()
            else:
                cycle.keep_alive = False
            return
        refused = PushCycle(True)
        refused.keep_alive = False
        self.cycle = refused  # type: ignore[assignment]
        self._write(refused, answer_problem(Problem(code, detail)))

    def _close(self) -> None:
        """Close after what was written; while a request is coming in, throw the rest away for a moment.

        Closing a socket with unread bytes resets the connection, and the caller would not see its answer.
        """
        self._since = self.server_state.now
        if self._receiving and self.transport.can_write_eof():
            self._lingering = True
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Close once everything asked is answered; what is being received is still answered."""
        if self._busy():
            self.cycle.keep_alive = False
            self._last = self._receiving == _NOTHING
        elif not self._receiving:
            self.transport.close()

    def sweep(self) -> None:
        """End what takes too long: an idle connection, a request coming in, an answer that nobody reads."""
        age = self.server_state.now - self._since
        if self._lingering or self.transport.is_closing():
            if age > LINGER:
                self.transport.abort()
        elif self._receiving:
            if age > RECEIVE_TIMEOUT:
                self._since = self.server_state.now
                self.transport.close()
        elif self._busy():
            if age > ANSWER_TIMEOUT:
                self.transport.abort()
        elif age > self.server_state.keep_alive:
            self._since = self.server_state.now
            self.transport.close()


_ACCEPTED = b"HTTP/1.1 202 Accepted\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


def _check_single(names: list[bytes]) -> None:
    for name in (b"authorization", b"content-type"):
        if names.count(name) > 1:
            raise Problem("bad_request", f"expected one {name.decode()} header, got several")
