"""The servers of a cluster of embedded ones, as an operator sees them from one of its machines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import DecodeError, Struct, field, json

from pushgate.errors import InboxUnavailable, StartError
from pushgate.inbox.nats_stream import call_api
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from pushgate.node.embedded.config import DOCTOR
from pushgate.node.embedded.server import known_url

PATIENCE = 3.0
"""Seconds that the server of this machine is given."""
ANSWERS = 0.5
"""Seconds that the servers are given to say how they are."""


class Server(Struct, frozen=True):
    """A server: its `node`, whether it is there, whether it has all that it should have, and whether it leads.

    `silent` is how many seconds the leader has not heard it, `behind` how many changes of streams it lacks.
    """

    node: str
    online: bool
    current: bool
    leader: bool
    silent: float
    behind: int


async def list_servers(data_dir: Path) -> list[Server]:
    """Return the servers that are counted for the quorum, by name, as their leader knows them.

    `data_dir` is a running node's. Raises StartError where there is no server, no cluster, or no leader.
    """
    async with _asking(data_dir) as link:
        answers: list[_Answer] = []
        link.listen("_INBOX.members", lambda _subject, _reply, _headers, payload: answers.append(_decode(payload)))
        link.write((b"PUB $SYS.REQ.SERVER.PING.JSZ _INBOX.members 0\r\n\r\n",))
        await asyncio.sleep(ANSWERS)
    for answer in answers:
        meta = answer.data.meta_cluster
        if meta is not None and meta.leader == answer.server.name:  # the others know less
            leader = Server(meta.leader, True, True, True, 0.0, 0)
            others = [
                Server(peer.name, not peer.offline, peer.current, False, round(peer.active / 1e9, 1), peer.lag)
                for peer in meta.replicas
            ]
            return sorted([leader, *others], key=lambda server: server.node)
    if any(answer.data.meta_cluster is not None for answer in answers):
        raise StartError(f"the cluster has no leader, and so no quorum; {len(answers)} of its servers answer")
    raise StartError("the node's NATS is no cluster, or JetStream is not there yet")


async def remove_server(data_dir: Path, node: str) -> None:
    """Have a server that will not come back count no more: what it had a copy of gets one elsewhere.

    `node` is its name, or the id that stands for one whose name is not known any more. Raises StartError.
    """
    async with _asking(data_dir) as link:
        for key in ("peer", "peer_id"):
            try:
                answer = await call_api(link, "SERVER.REMOVE", {key: node})
            except InboxUnavailable as error:
                raise StartError(f"{node} cannot be removed: {error}") from None
            if "error" not in answer:
                return
    raise StartError(f"{node} cannot be removed: {answer['error'].get('description')}")


@asynccontextmanager
async def _asking(data_dir: Path) -> AsyncIterator[NatsLink]:
    connection = Connection(known_url(data_dir / "nats", DOCTOR), "cluster")
    connection.start()
    try:
        yield await asyncio.wait_for(connection.ready(), PATIENCE)
    except TimeoutError:
        raise StartError(f"the nats-server of {data_dir} does not answer: does the node run?") from None
    finally:
        await connection.stop()


class _Peer(Struct):
    name: str
    current: bool = False
    offline: bool = False
    active: int = 0
    lag: int = 0


class _Meta(Struct):
    leader: str = ""
    replicas: list[_Peer] = []


class _Data(Struct):
    meta_cluster: _Meta | None = None


class _Name(Struct):
    name: str = ""


class _Answer(Struct):
    """What a server says of its JetStream."""

    server: _Name = field(default_factory=_Name)
    data: _Data = field(default_factory=_Data)


def _decode(payload: bytes) -> _Answer:
    try:
        return json.decode(payload, type=_Answer)
    except DecodeError:
        return _Answer()
