"""Connecting as clients do that notice a network which is cut: bounded, and kept alive."""

import asyncio
import socket

Address = tuple[str, int]

PATIENCE = 1.0
"""Seconds for a connection to be made."""
SILENCE = 2
"""Seconds, or little more, after which the connection ends with an error when nothing gets through any more."""


async def dial(address: Address, receive_buffer: int = 0) -> socket.socket:
    """Connect; `receive_buffer` is the size of that in bytes, 0 the system's own. Raises OSError."""
    connection = socket.socket()
    try:
        connection.setblocking(False)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            connection.setsockopt(socket.IPPROTO_TCP, option, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        async with asyncio.timeout(PATIENCE):  # a TimeoutError is an OSError
            await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection
