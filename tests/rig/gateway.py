"""One worker's rooms in the test's own process and loop: real sockets, the memory bus, a clock that tests turn."""

import asyncio
import itertools
import json
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import jwt
from msgspec import structs

from pushgate.bus.memory import MemoryBus
from pushgate.config import ClientsConfig, LimitsConfig, TenantConfig, TokenKeyConfig
from pushgate.delivery.acknowledging import Acknowledging
from pushgate.delivery.answers import Answers
from pushgate.delivery.fanout import FanOut
from pushgate.delivery.following import Following
from pushgate.delivery.questions import Questions
from pushgate.delivery.router import Router
from pushgate.messages.push import Push, encode_push
from pushgate.messages.questions import Acknowledge, Node
from pushgate.metrics.catalogue import CATALOGUE
from pushgate.metrics.rows import Rows, tenant_slot
from pushgate.sessions.admission import Admission
from pushgate.sessions.arrival import Arrival, decode_arrival, encode_arrival
from pushgate.sessions.door import Door
from pushgate.sessions.heartbeat import Heartbeat
from pushgate.sessions.inbound import Inbound
from pushgate.sessions.lobby import Lobby
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.spread import Spread
from pushgate.sessions.streams import Streams
from pushgate.sessions.terms import Terms
from pushgate.sockets.addresses import AddressCounts
from pushgate.sockets.certificates import Certificate, TlsPort
from pushgate.sockets.listener import Listener, open_listener
from pushgate.sockets.poller import Poller
from pushgate.sockets.tls import TlsClients
from pushgate.tenants.registry import Tenants
from pushgate.tracing import Tracer
from pushgate.wire.upgrade import Headers
from tests.rig.client import WsClient
from tests.rig.events import EventStream

SECRETS = {"default": "a" * 40, "acme": "b" * 40}
_ids = itertools.count(1)


def make_token(user: str, tenant: str = "default", ttl: float = 3600, **claims: Any) -> str:
    """Return a token as a business system makes it."""
    payload = {"sub": user, "tenant": tenant, "exp": int(time.time() + ttl), **claims}
    return jwt.encode(payload, SECRETS[tenant], "HS256")


def make_tenants(**settings: Any) -> dict[str, TenantConfig]:
    """Return the tenants of the rig, each with these settings."""
    return {
        name: TenantConfig(token_keys=[TokenKeyConfig("HS256", secret=secret)], **settings)
        for name, secret in SECRETS.items()
    }


class Gateway:
    """A worker without its process. `tick(n)` lets n heartbeat ticks pass at once.

    It is one of two by its rows and its counts of addresses; tests play the other.
    """

    def __init__(
        self,
        tls: Certificate | None = None,
        limits: LimitsConfig | None = None,
        tracer: Tracer | None = None,
        **settings: Any,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.config = structs.replace(ClientsConfig(), **settings)
        self.terms = terms = Terms(self.config, limits or LimitsConfig())
        self.rows = Rows(1)
        self.counts = AddressCounts(2)
        addresses = self.counts.worker(0)
        self.row = self.rows.row(0)
        self.tenants = tenants = Tenants(make_tenants())
        self.poller = Poller(self.loop, self.config.write_bound, self.row)
        self.spread = Spread(terms, self.rows)
        self.sessions = SessionManager(self.poller, tenants, self.config, addresses, self.rows, self.row, self.spread)
        self.inbound = Inbound(self.poller, self.sessions, tenants, terms, self.config, self.row)
        self.sessions.handler = self.inbound
        self.sessions.streams = Streams(self.poller, self.sessions, terms, self.row)
        self.heartbeat = Heartbeat(self.poller, self.sessions, self.config, self.row)
        admission = Admission(terms, addresses, self.rows, self.row)
        self.lobby = Lobby(
            self.poller, tenants, terms, admission, self.config, self.row, self.deliver, self._acknowledge
        )
        self.tls_port, patience = TlsPort(tls), self.config.handshake_timeout
        self.tls = TlsClients(self.poller, self.tls_port, patience, addresses, self.row, self.lobby.admit)
        self.door = Door(self.poller, terms, admission, self.tls_port, patience, self.row, self._let_in)
        following = Following(self.sessions, "here", tracer)
        self.fanout = FanOut(self.sessions, self.row, self.loop.call_soon, self.loop.call_later, following=following)
        self.stopping = False
        self.bus, self.inbox = MemoryBus(), None
        self.answers = Answers(self.sessions, self.rows, tenants.numbers, self._why_not_ready, True, list)
        self.questions = Questions(Node("here", 1), 0, self.bus, self.answers.reply, self.row)
        self.acknowledging = Acknowledging(self.questions, self.poller, self.row)
        self.router = Router(self.sessions, self.fanout, self.row, self.questions.hear, following=following)
        self.socket = open_listener(self.config.host, 0, 128)
        self.port: int = self.socket.getsockname()[1]
        self.listener = Listener(self.socket, self.poller, self.row, self.door.knock, self.loop.call_later)
        self.listener.start()

    def _why_not_ready(self) -> list[str]:
        return ["the node stops"] if self.stopping else []

    def _let_in(self, connection: socket.socket, address: bytes) -> None:
        if self.tls.active:
            self.tls.admit(connection, address)
        else:
            self.lobby.admit(connection.detach(), address)

    def _acknowledge(self, fd: int, said: Acknowledge, headers: Headers) -> None:
        self.acknowledging.take(fd, said, headers)

    def deliver(self, fd: int, arrival: Arrival) -> None:
        arrival = decode_arrival(encode_arrival(arrival))  # as on the way to another worker
        self.inbound.take(fd, arrival)

    async def join(
        self,
        user: str,
        query: str = "",
        tenant: str = "default",
        behind: bytes = b"",
        protocol: str = "",
        offer: str = "",
        tls: ssl.SSLContext | None = None,
        **claims: Any,
    ) -> WsClient:
        """Connect a user, offering a subprotocol and extensions, and take the welcome."""
        path = f"/ws?token={quote(make_token(user, tenant, **claims))}{query}"
        return await WsClient.join(self.port, path, behind=behind, protocol=protocol, offer=offer, tls=tls)

    async def listen(
        self, user: str, query: str = "", tenant: str = "default", tls: ssl.SSLContext | None = None, **claims: Any
    ) -> EventStream:
        """Connect a user by Server-Sent Events, and take the welcome."""
        path = f"/sse?token={quote(make_token(user, tenant, **claims))}{query}"
        return await EventStream.join(self.port, path, tls=tls)

    def push(self, *users: str, tenant: str = "default", data: Any = "hi", **fields: Any) -> str:
        """Hand a push to the router as the bus does; no users: everyone. Returns its id."""
        push = Push(
            tenant, list(users) or None, f"m{next(_ids)}", "message", int(time.time() * 1000), json.dumps(data).encode()
        )
        push = structs.replace(push, **fields)
        self.router.receive(encode_push(push))
        return push.id

    def tick(self, count: int = 1, *, busy: bool = False) -> None:
        for _ in range(count):
            self.poller.tick()
            self.door.tick()
            self.tls.tick()
            self.lobby.tick()
            self.heartbeat.tick(time.time(), busy)

    def count(self, name: str, *labels: str) -> int:
        """Return the value of a metric, by the values of its labels."""
        (slots,) = (metric.slots for metric in CATALOGUE if metric.name == name)
        return self.row[slots[labels]]

    def count_of(self, tenant: str, slot: int) -> int:
        """Return what this worker counted of a tenant, by the slot of the catalogue."""
        return self.row[tenant_slot(self.tenants.numbers[tenant], slot)]

    async def until(self, condition: Callable[[], bool], patience: float = 10.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(patience):
            while not condition():
                await asyncio.sleep(0.002)

    def stop(self) -> None:
        self.listener.stop()
        self.door.empty()
        self.tls.cut_handshakes()
        self.lobby.empty()
        for session in self.sessions.by_fd:
            if session is not None:
                self.sessions.drop(session)
        for pair in set(self.tls._bridge._pairs.values()):
            self.tls._bridge._cut(pair)
        self.tick(40)
        self.poller.stop()
        self.socket.close()
