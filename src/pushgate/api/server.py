"""A worker's HTTP server: connections that the worker's listener accepted, and the sweep over them."""

import asyncio
import socket
from contextlib import suppress
from typing import cast

from litestar import Litestar
from uvicorn import Config

from pushgate.api.calls import Calls
from pushgate.api.context import ApiContext
from pushgate.api.entry import Entry
from pushgate.api.heads import Heads
from pushgate.api.protocol import ApiProtocol
from pushgate.api.push import PushRoute
from pushgate.api.state import ApiState
from pushgate.sockets.certificates import TlsPort

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a caller's TLS handshake may take."""
IDLE = 3.0
"""Seconds without a request after which a connection is closed that another process should have."""
SWEEP = 1.0
"""Seconds between two looks at all connections."""


class ApiServer:
    """Serves the API on accepted sockets, over TLS where the port has it; everything runs on the one loop."""

    def __init__(self, app: Litestar, context: ApiContext, loop: asyncio.AbstractEventLoop, tls: TlsPort) -> None:
        route = PushRoute(context)
        app.state.context = context
        app.state.push_route = route
        self._loop = loop
        logged = context.config.log.level == "debug"
        calls = Calls(logged, context.tracer) if logged or context.tracer is not None else None
        self._tls = tls
        self._config = Config(
            Entry(app, calls),
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self._config.load()
        self._state = ApiState(route, Heads(context.tenants), context.config.management.keep_alive, calls)
        self._adopting: set[asyncio.Task[None]] = set()
        self._timer = loop.call_later(SWEEP, self._sweep)

    def serve(self, sock: socket.socket) -> None:
        """Take over an accepted, non-blocking TCP socket; it belongs to the server from here on."""
        if self._state.stopping:
            sock.close()
            return
        task = self._loop.create_task(self._adopt(sock))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    def detach_idle(self) -> list[int]:
        """Return descriptors of the connections on which nothing is asked now, which go elsewhere; none of TLS."""
        return [file for connection in self._connections() if (file := connection.detach()) >= 0]

    async def leave(self, patience: float) -> None:
        """Take leave of the callers: the next answer to each is the last on its connection.

        Returns when all have gone, or after so many seconds; who asks nothing for IDLE seconds is let go.
        """
        state = self._state
        state.keep_alive = min(state.keep_alive, IDLE)
        await self._close_door()
        if state.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(state.empty.wait(), patience)

    async def stop(self, grace: float) -> None:
        """Answer the requests in flight, for at most `grace` seconds, then close every connection.

        Those of which only a part has come count too. Idle connections are closed at once.
        """
        state = self._state
        if self._tls.context is not None:
            for task in self._adopting:
                task.cancel()  # who is in its TLS handshake has asked nothing yet
        await self._close_door()
        for connection in self._connections():
            connection.shutdown()
        if state.connections:
            try:
                await asyncio.wait_for(state.empty.wait(), grace)
            except TimeoutError:
                for connection in self._connections():
                    connection.transport.abort()
                await state.empty.wait()
        self._timer.cancel()
        for task in tuple(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)

    async def _close_door(self) -> None:
        """Take nobody in but who is coming in just now, and have each answer be the last on its connection."""
        self._state.stopping = True
        self._state.empty.clear()
        await asyncio.gather(*self._adopting, return_exceptions=True)

    async def _adopt(self, sock: socket.socket) -> None:
        context = self._tls.context
        timeout = None if context is None else HANDSHAKE_TIMEOUT
        try:
            await self._loop.connect_accepted_socket(self._connect, sock, ssl=context, ssl_handshake_timeout=timeout)
        except OSError:
            sock.close()  # the caller went away already, or its TLS handshake failed

    def _connect(self) -> ApiProtocol:
        return ApiProtocol(self._config, self._state, self._loop)

    def _connections(self) -> list[ApiProtocol]:
        # nothing but ApiProtocol enters this set: WebSocket upgrades are off
        return cast(list[ApiProtocol], list(self._state.connections))

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(SWEEP, self._sweep)
        self._state.tick()
        for connection in self._connections():
            connection.sweep()
