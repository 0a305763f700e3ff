"""Programs in Node that use the SDK, and the network between them and a node, which a test can hurt."""

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tests.rig.cable import copy
from tests.sdk.site import SDK, Site

PATIENCE = 15.0


async def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until something is so; fails, naming it, when it does not come."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        await asyncio.sleep(0.02)


class Program:
    """One process, that has one client or several of a user. `claims` of tokens are in seconds from their making."""

    def __init__(
        self,
        site: Site,
        user: str,
        url: str,
        flags: tuple[str, ...] = (),
        claims: dict[str, int] | None = None,
        **setting: Any,
    ) -> None:
        tokens = f"{site.url}token?{urlencode({'user': user, **(claims or {})})}"
        said = json.dumps({"url": url, "tokens": tokens, **setting})
        self.got: list[Any] = []
        self.states: list[dict[str, Any]] = []
        """With `client`, its number, and `at`, when it came to be, in seconds since 1970."""
        self.errors: list[str] = []
        self._process = subprocess.Popen(
            ["node", *flags, "tests/program.mjs", said],
            cwd=SDK,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def state_of(self, client: int = 0) -> dict[str, Any]:
        """Return the newest state of a client; an empty one at first."""
        return next((state for state in reversed(self.states) if state["client"] == client), {"name": ""})

    def count(self, name: str) -> int:
        """Return how many times the clients came to be in a state."""
        return sum(state["name"] == name for state in self.states)

    async def connected(self) -> None:
        """Wait until its one client is connected."""
        await until(lambda: self.state_of()["name"] == "connected", "the program is connected")

    async def leave(self) -> None:
        """Have it close its clients, and end by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert await asyncio.to_thread(self._process.wait, PATIENCE) == 0
        await asyncio.to_thread(self._reader.join)

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "state" in said:
                self.states.append({"client": said["client"], "at": said["at"] / 1000, **said["state"]})
            elif "error" in said:
                self.errors.append(said["error"])
            else:
                self.got.append(said["data"])


class Line:
    """What leads to a port of loopback: its connections can be cut, and can be stopped from passing anything on."""

    def __init__(self, target: Callable[[], int]) -> None:
        self.port = 0
        self._target = target
        self._ends: list[asyncio.StreamWriter] = []
        self._copies: list[asyncio.Task[None]] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Reset all connections; those that come later are well."""
        self.hang()
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def hang(self) -> None:
        """Pass nothing more on, and tell nobody; connections that come later are well."""
        for task in self._copies:
            task.cancel()
        self._copies.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target())
        except OSError:
            writer.close()
            return
        self._ends += writer, their_writer
        for source, end in ((reader, their_writer), (their_reader, writer)):
            self._copies.append(asyncio.create_task(copy(source, end)))
