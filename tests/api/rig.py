"""A real ApiServer on a loopback socket, its uvloop in a thread, with a bus and tenants made for tests."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import httpx
import uvloop
from litestar.types import ControllerRouterHandler
from msgspec import structs

from pushgate.api.app import build_app
from pushgate.api.context import ApiContext
from pushgate.api.server import ApiServer
from pushgate.bus.base import Parcel, Receive
from pushgate.config import Config, LogConfig, ManagementConfig, TenantConfig
from pushgate.delivery.questions import Gathered, R
from pushgate.errors import Problem
from pushgate.log import Level
from pushgate.messages.push import Push, decode_push
from pushgate.messages.questions import Closed, Counted, Question, Reached, Recalled, Reply, Sessions
from pushgate.metrics.rows import Rows
from pushgate.sockets.certificates import TlsPort
from pushgate.tenants.registry import Quota, Tenants, hash_api_key
from pushgate.tracing import Tracer
from tests.fakes.inbox import FakeInbox

KEY = "key-of-acme"
READ_KEY = "read-key-of-acme"
AUTH = {"authorization": f"Bearer {KEY}"}


class FakeBus:
    """Records parcels; fails with `error`, waits for `release` while `stalling`."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.error: Exception | None = None
        self.stalling = False
        self.connected = True
        self.reconnects = 0
        self.waiting: list[asyncio.Future[None]] = []

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None: ...

    async def stop(self) -> None: ...

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        if self.stalling:
            future = asyncio.get_running_loop().create_future()
            self.waiting.append(future)
            await future
        if self.error is not None:
            raise self.error
        self.parcels.extend(parcels)

    @property
    def pushes(self) -> list[Push]:
        return [decode_push(parcel.payload) for parcel in self.parcels]


class FakeQuestions:
    """Answers with `replies`, each by its node; `missing` are the nodes that do not answer, `here` is our own."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.replies: list[tuple[str, Reply]] = [
            ("here", Sessions([])),
            ("here", Closed(0)),
            ("here", Reached(2, 0, 0)),
            ("here", Counted("0.1.0", 2, True, 0, 0, 0, 0, 0.0, 0.0)),
            ("here", Recalled([])),
        ]
        self.missing: list[str] = []
        self.error: Exception | None = None

    async def ask(self, question: Question, kind: type[R]) -> Gathered[R]:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        replies = [(node, reply) for node, reply in self.replies if isinstance(reply, kind)]
        return Gathered(replies, self.missing, "here" not in self.missing)


class FakeTenants:
    """`config` may be changed, as a reload does."""

    def __init__(self) -> None:
        self.config = TenantConfig(api_keys=[hash_api_key(KEY)], read_keys=[hash_api_key(READ_KEY)])
        self._real = Tenants({"acme": self.config})

    @property
    def generation(self) -> int:
        return self._real.generation

    @property
    def numbers(self) -> Mapping[str, int]:
        return self._real.numbers

    def quota_of(self, tenant: str) -> Quota | None:
        return self._real.quota_of(tenant)

    def load(self, **settings: Any) -> None:
        self._real.load({"acme": structs.replace(self.config, **settings)})

    def tenant_of_key(self, api_key: bytes) -> str | None:
        return self._real.tenant_of_key(api_key)

    def tenant_of_read_key(self, read_key: bytes) -> str | None:
        return self._real.tenant_of_read_key(read_key)

    def sign_token(self, tenant: str, uid: str, ttl: int, tags: Sequence[str]) -> tuple[str, int]:
        if uid == "forbidden":
            raise Problem("forbidden", "no key to sign with")
        if uid == "broken":
            raise RuntimeError("a secret detail")
        return f"{tenant}/{uid}/{ttl}/{','.join(tags)}", 1000 + ttl


class Rig:
    """The server and what stands around it; `call` runs a function on its loop."""

    def __init__(
        self,
        extra_routes: Sequence[ControllerRouterHandler] = (),
        level: Level = "info",
        tracer: Tracer | None = None,
        **management: Any,
    ) -> None:
        self.bus = FakeBus()
        self.questions = FakeQuestions()
        self.inbox: FakeInbox | None = FakeInbox()
        self.tenants = FakeTenants()
        self.rows = Rows(2)
        self.tls = TlsPort()
        self.reasons: list[str] = []
        self.loop = uvloop.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.context = ApiContext(
            Config(management=ManagementConfig(**management), log=LogConfig(level)),
            self.tenants,
            self.bus,
            self.inbox,
            self.questions,
            self.rows,
            self.rows.row(0),
            lambda: self.reasons,
            tracer=tracer,
        )
        self.app = build_app(extra_routes)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.server: ApiServer = self.call(lambda: ApiServer(self.app, self.context, self.loop, self.tls))
        self.call(lambda: self.loop.add_reader(self.listener.fileno(), self._accept))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=AUTH, timeout=10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        self.server.serve(sock)

    def call(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def release(self, expected: int = 1) -> None:
        """Let waiting publishes go on, once there are so many; later ones do not wait."""

        async def run() -> None:
            async with asyncio.timeout(10):
                while len(self.bus.waiting) < expected:
                    await asyncio.sleep(0.001)
            self.bus.stalling = False
            for future in self.bus.waiting:
                future.set_result(None)
            self.bus.waiting.clear()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(15)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so on the loop."""

        async def run() -> None:
            async with asyncio.timeout(10):
                while not condition():
                    await asyncio.sleep(0.001)

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(15)

    def begin_stop(self, grace: float) -> Any:
        return asyncio.run_coroutine_threadsafe(self.server.stop(grace), self.loop)

    def connect(self) -> "Caller":
        return Caller(self.port)

    def push(self, **body: Any) -> httpx.Response:
        return self.http.post("/v1/push", json=body)

    def close(self) -> None:
        self.http.close()
        self.call(lambda: self.loop.remove_reader(self.listener.fileno()))
        self.listener.close()
        if not self.server._state.stopping:
            self.begin_stop(0.2).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


class Caller:
    """A raw connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> "Caller":
        for part in parts:
            self.socket.sendall(part)
        return self

    def read_head(self) -> tuple[int, dict[str, str]]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def read(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = self.read_head()
        return status, headers, self._file.read(int(headers.get("content-length", 0)))

    def read_end(self) -> bytes:
        """Return what still comes until the server closes."""
        return self._file.read()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def request(
    body: bytes = b'{"user":"alice","data":1}',
    *,
    head: bytes = b"",
    line: bytes = b"POST /v1/push HTTP/1.1",
    length: int | None = None,
) -> bytes:
    """Return the bytes of a push."""
    size = len(body) if length is None else length
    return (
        line + b"\r\nhost: x\r\nauthorization: Bearer " + KEY.encode() + b"\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n" % size + head + b"\r\n" + body
    )


def push_of(name: str) -> bytes:
    """Return the bytes of a push with an id."""
    return request(b'{"user":"alice","id":"%b"}' % name.encode())


GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
