"""Bad clients, who come and go, dawdle, stall and send garbage, each at a steady rate."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx

from tests.hostile import api_bodies, api_http, frames, http, messages, tokens
from tests.hostile.case import END, RESET, WELCOMED, Case, Outcome, Piece, Vanishes, answers, closes
from tests.hostile.frames import closing
from tests.hostile.http import upgrade
from tests.hostile.keys import API_KEY, token
from tests.hostile.line import fresh_socket
from tests.hostile.received import take_apart
from tests.hostile.visitor import visit

CLIENT_CASES = [*http.CASES, *frames.CASES, *messages.CASES, *tokens.CASES]
API_CASES = [*api_http.CASES, *api_bodies.CASES]
SLOW_CASES = [case for case in CLIENT_CASES if case.outcome in (answers(408), closes(4504))]
AUTHORIZED = {"Authorization": f"Bearer {API_KEY}"}
STALLED_DATA = "x" * 65536
"""What is pushed to one who does not read, over and over."""
STALLED_PUSHES = 400
"""Pushes after which one who does not read must have been closed: many times what all buffers hold."""


class Bad:
    """All bad clients. `visits` are counted by kind; `wrong` has those that met something else than they should."""

    def __init__(self, clients_port: int, api_port: int, seed: int) -> None:
        self.visits = Counter[str]()
        self.wrong: list[str] = []
        self._clients_port = clients_port
        self._api_port = api_port
        self._random = random.Random(seed)

    async def run(self, seconds: float) -> None:
        """Let them come for so many seconds, and return when the last has left."""
        self._until = asyncio.get_running_loop().time() + seconds
        self._api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._api_port}", timeout=20)
        rates = {self.come_and_go: 20, self.send_garbage: 8, self.call_with_garbage: 4, self.dawdle: 3}
        async with self._api, asyncio.TaskGroup() as group:
            for kind, rate in rates.items():
                group.create_task(self._repeat(kind, rate))
            while self._goes_on:
                self._note("stall", await self.stall())

    @property
    def _goes_on(self) -> bool:
        return asyncio.get_running_loop().time() < self._until

    async def _repeat(self, kind: Callable[[], Awaitable[str]], rate: float) -> None:
        async def once() -> None:
            self._note(kind.__name__, await kind())

        async with asyncio.TaskGroup() as group:
            while self._goes_on:
                group.create_task(once())
                await asyncio.sleep(self._random.uniform(0.5, 1.5) / rate)

    def _note(self, kind: str, wrong: str) -> None:
        self.visits[kind] += 1
        if wrong:
            self.wrong.append(f"{kind}: {wrong}")

    async def come_and_go(self) -> str:
        """Connect, stay for up to a second, and go: politely, or not."""
        ways: list[tuple[Piece, Outcome]] = [
            (closing(1000), closes(1000)),
            (END, Vanishes((101,))),
            (RESET, Vanishes()),
        ]
        last, outcome = self._random.choice(ways)
        return await self._visit(Case("comes and goes", (upgrade(), WELCOMED, self._random.random(), last), outcome))

    async def send_garbage(self) -> str:
        """Visit the client port as a case of the corpus says."""
        return await self._visit(self._random.choice(CLIENT_CASES))

    async def call_with_garbage(self) -> str:
        """Visit the management port as a case of the corpus says."""
        return await self._visit(self._random.choice(API_CASES), self._api_port)

    async def dawdle(self) -> str:
        """Begin a handshake and leave it there."""
        return await self._visit(self._random.choice(SLOW_CASES))

    async def stall(self) -> str:
        """Connect twice and never read, while pushes come, until both are closed; then one reads, the other resets."""
        loop, user = asyncio.get_running_loop(), f"stalled-{self._random.getrandbits(64):x}"
        with fresh_socket() as patient, fresh_socket() as rude:
            for sock in (patient, rude):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(sock, ("127.0.0.1", self._clients_port))
                await loop.sock_sendall(sock, upgrade(start=f"GET /ws?token={token(user)} HTTP/1.1"))
            if not await self._push_until_closed(user, 2):
                return "were not closed"
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw = bytearray()
            while data := await loop.sock_recv(patient, 1 << 20):
                raw += data
        return closes(4001).missed_by(take_apart(bytes(raw), ended=True))

    async def _push_until_closed(self, user: str, sessions: int) -> bool:
        before = await self._closed_slow()
        for number in range(STALLED_PUSHES):
            answer = await self._api.post("/v1/push", json={"user": user, "data": STALLED_DATA}, headers=AUTHORIZED)
            answer.raise_for_status()
            if number % 8 == 0 and await self._closed_slow() == before + sessions:
                return True
            await asyncio.sleep(0.05)
        return False

    async def _closed_slow(self) -> float:
        text = (await self._api.get("/metrics")).text
        (line,) = (line for line in text.splitlines() if 'connections_closed_total{code="4001"}' in line)
        return float(line.split()[-1])

    async def _visit(self, case: Case, port: int = 0) -> str:
        missed = case.outcome.missed_by(await visit(case, port or self._clients_port))
        return missed and f"{case.name}: {missed[:300]}"
