"""The server behind a link of the inbox: readied when the link is new, and what it may lose."""

from collections.abc import Iterable
from secrets import token_hex
from typing import NamedTuple

from hiredis import ReplyError

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import FollowedTo
from pushgate.inbox.redis_scripts import OPEN, SCRIPTS
from pushgate.redis.link import Command, RedisLink

OLDEST = 7
"""The major version that is needed."""

PASSING = ("BUSY", "LOADING", "MISCONF", "NOREPLICAS", "OOM", "TRYAGAIN", "CLUSTERDOWN")
"""What errors begin with that say nothing against the connection; after any other one another is made."""

LOSSES = {
    "always": "nothing that was answered",
    "everysec": "about the last two seconds, when its machine fails: appendfsync is everysec",
    "no": "what the system had not written yet, when its machine fails: appendfsync is no",
    "": "the last writes, when its machine fails: it does not tell appendfsync",
}
NO_FILE = "all since its last snapshot, or everything, whenever it ends: appendonly is no"
REPLICAS = "; what a replica had not got, when that takes its place"


class Standing(NamedTuple):
    """What a server is: `run` is another one with each start, `safe` says that by ending it loses nothing that was
    answered, `promoted` that it was a replica before, and may lack what its primary had answered. `loses` is for
    people."""

    run: str
    safe: bool
    promoted: bool
    loses: str


class Opened(NamedTuple):
    """A tenant's logs: their epoch, the newest offset when that began, and the newest one."""

    epoch: str
    begin: int
    newest: int


class InboxLink(RedisLink):
    """A connection of the inbox; `standing` is right once it was readied."""

    standing = Standing("", False, False, "")


async def ask(link: RedisLink, *commands: Command) -> list[object]:
    """Return what the server answers. Raises InboxUnavailable, also for an error, and then lets go of the link unless
    the error passes."""
    answers = await link.ask(*commands)
    if answers is None:
        raise InboxUnavailable(link.reason)
    for answer in answers:
        if isinstance(answer, ReplyError):
            judge(link, str(answer))
            raise InboxUnavailable(str(answer))
    return answers


def judge(link: RedisLink, error: str) -> None:
    """Let go of a link whose server said this, unless it passes."""
    if not error.startswith(PASSING):
        link.drop(error)  # a replica now, another server's slot, scripts that are gone


async def ready(link: InboxLink) -> None:
    """Find out what the server is, and load the scripts. Raises InboxUnavailable."""
    (told,) = await ask(link, ("INFO", "server", "replication", "persistence", "memory"))
    fsync = ""
    answers = await link.ask(("CONFIG", "GET", "appendfsync"))  # not everybody may ask
    if answers is not None and isinstance(answers[0], dict):
        fsync = answers[0].get(b"appendfsync", b"").decode()
    assert isinstance(told, bytes | str)
    link.standing = read_standing(told if isinstance(told, str) else told.decode(), fsync)
    await ask(link, *(("SCRIPT", "LOAD", script.text) for script in SCRIPTS))


def read_standing(info: str, fsync: str) -> Standing:
    """Return what a server says of itself. Raises InboxUnavailable when it is too old, or throws away what it should
    keep."""
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    version, policy = facts.get("redis_version", "of no version"), facts.get("maxmemory_policy", "")
    if not version.partition(".")[0].isdecimal() or int(version.partition(".")[0]) < OLDEST:
        raise InboxUnavailable(f"Redis {OLDEST} or newer is needed, and this is {version}")
    if facts.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
        raise InboxUnavailable(f"maxmemory-policy is {policy}: it throws away messages for room; expected noeviction")
    keeps = facts.get("aof_enabled") == "1"
    loses = LOSSES.get(fsync, LOSSES[""]) if keeps else NO_FILE
    return Standing(
        facts.get("run_id", ""),
        keeps and fsync == "always",
        facts.get("second_repl_offset", "-1") != "-1",
        loses if facts.get("connected_slaves", "0") == "0" else loses + REPLICAS,
    )


async def open_logs(link: InboxLink, key: str, known: FollowedTo | None) -> Opened:
    """Make what a tenant needs where it is missing; see OPEN. `known` is how far it was followed. Raises
    InboxUnavailable."""
    run, safe, promoted, _ = link.standing
    epoch, offset = (known.epoch, known.offset) if known is not None else ("", 0)
    (answer,) = await ask(link, OPEN.call(key, run, int(safe), int(promoted), token_hex(4), epoch, offset))
    assert isinstance(answer, list)
    return Opened(answer[0].decode(), *answer[1:])


async def open_all(link: InboxLink, keys: Iterable[str]) -> None:
    """Make what tenants need where it is missing, on a new connection. Raises InboxUnavailable."""
    for key in keys:
        await open_logs(link, key, None)
