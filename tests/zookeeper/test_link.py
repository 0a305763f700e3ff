"""What the link does with a server that is none; what it does with a real one that is ill: tests/contract/test_bus."""

import asyncio
import socket

import pytest

from pushgate.zookeeper.link import ZooKeeperLink


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak as ZooKeeper does"),
        (b"", "the bus closed the connection"),
        (b"\0\0\0\x24" + bytes(36), "the server does not know the session"),
    ],
)
async def test_a_server_that_is_none_is_left_with_the_reason(said: bytes, reason: str) -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        link = ZooKeeperLink("bus", lambda path: None)
        with pytest.raises(ConnectionError, match=reason):
            await link.open("127.0.0.1", server.sockets[0].getsockname()[1], 5)
        await link.close()


async def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = ZooKeeperLink("bus", lambda path: None)
        with pytest.raises(TimeoutError):
            await link.open("127.0.0.1", server.getsockname()[1], 0.1)
        await link.close()
