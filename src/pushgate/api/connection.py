"""One connection of a caller: its bytes, its flow, its deadlines and its end.

Deadlines are stamps that a sweep over all connections looks at: no connection and no request has a timer.
"""

import os
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pushgate.api.cycle import PushCycle
from pushgate.api.notation import JSON_TYPE, MSGPACK_TYPES
from pushgate.api.problems import Answer
from pushgate.api.push import PUSH_PATH
from pushgate.api.state import ApiState

MAX_HEAD = 64 * 1024
"""Bytes of a request, beside those of its body, that may come after the packet it begins in.

Beyond that a body may be twice as long on the wire as it is.
"""

RECEIVE_TIMEOUT = 30.0
"""Seconds from the first byte of a request to its last."""

ANSWER_TIMEOUT = 60.0
"""Seconds from the first byte of a request to the end of its answer."""

LINGER = 3.0
"""Seconds that a closing connection has for its last bytes."""

NOTHING, HEAD, BODY = range(3)
"""Which part of a request is coming in."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_ACCEPTED = {
    media: b"HTTP/1.1 202 Accepted\r\n%%bcontent-type: %b\r\ncontent-length: %%d\r\n\r\n%%b" % media.encode()
    for media in (JSON_TYPE, *MSGPACK_TYPES)
}


class LastRequest(Exception):
    """Raised into the parser at the request after the last one that is answered."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol without its timers; `ApiProtocol` says what becomes of requests."""

    server_state: ApiState

    def __init__(self, config: Any, server_state: ApiState, loop: Any) -> None:
        super().__init__(config, server_state, {}, loop)
        self._route = server_state.route
        self._receiving = NOTHING
        self._received = 0
        self._body = 0  # bytes of the body among those
        self._declining = False  # a request that asks for another protocol is coming in
        self._last = False  # no request after the current one is answered
        self._lingering = False  # answered and half closed; what still comes is thrown away
        self._since = server_state.now

    def data_received(self, data: bytes) -> None:
        """Parse, which answers what is complete."""
        if self._lingering:
            return
        self._received += len(data)  # from 0 again where a request begins, so its first packet is free
        parts: list[bytes | memoryview] = [data]
        while parts:
            part = parts.pop()
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as upgrade:
                if self._last:
                    return
                parts += (memoryview(part)[upgrade.args[0] :], self._decline_upgrade())
            except httptools.HttpParserError:
                if not self._last:
                    self._fail("bad_request", "this is not HTTP/1.1")
                return
        # What is around a body, in chunks of few bytes or trailers, costs more to parse than the body itself.
        limit = MAX_HEAD + 2 * min(self._body, self._route.max_body)
        if self._receiving and self._received > limit:
            self._fail("too_large", "the request is too long")

    def eof_received(self) -> bool | None:  # type: ignore[override] # asyncio lets it say "keep open"
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

    def _write(self, cycle: PushCycle, answer: Answer) -> None:
        """Write the answer to a push, unless its caller is gone."""
        cycle.response_complete = True
        state = self.server_state
        state.total_requests += 1
        transport = self.transport
        if transport.is_closing():
            self._end_call(cycle, answer)
            return
        status, body, headers, media = answer
        if status == 202 and cycle.keep_alive and not headers:
            transport.write(_ACCEPTED[media] % (state.head, len(body), body))
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
        if cycle.call is not None:
            self._end_call(cycle, answer)
        if not cycle.keep_alive:
            self._close()

    def _end_call(self, cycle: PushCycle, answer: Answer) -> None:
        if cycle.call is not None:
            cycle.call.end("POST", PUSH_PATH, answer.status, cycle.tenant)

    def _decline_upgrade(self) -> bytes:
        """Return the head of a request that would rather speak another protocol without that wish, to parse again.

        Java's HttpClient asks for HTTP/2 with its requests, those with a body too. The parser takes all that
        follows for the other protocol, so a fresh one is given the request as if nothing had been asked.
        """
        self._declining = False
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return b"\r\n".join((*lines, b"", b""))

    def _fail(self, code: str, detail: str) -> None:
        """Answer with a problem after the answers that are owed, and close."""
        raise NotImplementedError

    def _busy(self) -> bool:
        """Whether an answer is owed."""
        return self.cycle is not None and not self.cycle.response_complete

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

    def detach(self) -> int:
        """Return a descriptor of the connection, which goes elsewhere, when nothing is asked on it now; else -1.

        So is one over TLS, whose state cannot move.
        """
        asked = self._receiving or self._busy() or self._lingering or self.transport.is_closing()
        if asked or self.transport.get_extra_info("sslcontext") is not None:
            return -1
        self.transport.pause_reading()
        descriptor = os.dup(self.transport.get_extra_info("socket").fileno())
        self.transport.abort()  # closes our descriptor, and not the connection
        return descriptor

    def shutdown(self) -> None:
        """Close once everything asked is answered; what is being received is still answered."""
        if self._receiving == HEAD:
            return  # when it is complete it finds the server stopping, and is the last
        if self._busy():
            self.cycle.keep_alive = False
            self._last = True
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
