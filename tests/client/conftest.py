"""An HTTP API that answers what a test says, and remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from inspect import iscoroutine
from typing import Any

import pytest

from pushgate.client.pusher import AsyncPusher, Pusher


@dataclass
class FakeApi:
    """Answers with `status`, `headers` and `body`; `asked` has (path, headers, JSON body) of each request.

    `first` are statuses of the first answers, as (status, headers); None in place of one closes without an answer.
    """

    url: str = ""
    status: str = "202 Accepted"
    headers: str = ""
    body: bytes = b'{"id":"m1"}'
    asked: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)
    first: list[tuple[str, str] | None] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                break
            size = int(head.lower().partition("content-length: ")[2].partition("\r")[0] or 0)
            self.asked.append((head.split()[1], head, json.loads(await reader.readexactly(size) or "{}")))
            answer = self.first.pop(0) if self.first else (self.status, self.headers)
            if answer is None:
                break
            status, headers = answer
            length = f"Content-Length: {len(self.body)}\r\n"
            writer.write(f"HTTP/1.1 {status}\r\n{headers}{length}\r\n".encode() + self.body)
        writer.close()


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield fake
    server.close()
    await server.wait_closed()


@pytest.fixture(params=[Pusher, AsyncPusher])
def pushing(request: pytest.FixtureRequest) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Make one call with a pusher of either kind, as `await pushing(url, lambda p: p.push(…), patience=0)`."""

    async def call(url: str, use: Callable[[Any], Any], key: str = "k", **options: Any) -> Any:
        if request.param is AsyncPusher:
            async with AsyncPusher(url, key, **options) as pusher:
                result = use(pusher)
                assert iscoroutine(result)
                return await result

        def block() -> Any:
            with Pusher(url, key, **options) as pusher:
                return use(pusher)

        return await asyncio.to_thread(block)

    return call
