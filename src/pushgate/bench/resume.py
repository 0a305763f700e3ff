"""`bench resume`: devices that missed messages all come back at once, and how long until the last of them has them."""

import os
import signal
import time

from pushgate.bench import server_cost
from pushgate.bench.broadcast import post
from pushgate.bench.connect import open_all
from pushgate.bench.crew import Crew, Show, divide
from pushgate.bench.figures import conclude, generator, per
from pushgate.bench.options import BenchError, Common, Result
from pushgate.bench.payload import EVERYONE, Ids, PushRequest, many_users

_QUIET = 20.0  # seconds without a message after which the missing ones are given up
_USERS = 1000  # in one push


def bench_resume(
    common: Common, connections: int, missed: int, everyone: bool, kill: tuple[int, ...], show: Show | None = None
) -> Result:
    """Have each of `connections` devices miss `missed` messages, to its user or to everyone; raises BenchError.

    What they miss is sent to them, but they go on as if it had been lost on the way. Then the processes `kill` are
    killed -9, or without any the generator cuts all connections; the clock starts with that. A device that is
    refused comes again a quarter of a second later.
    """
    shares = divide(common, connections, missed=missed)
    with Crew(common, shares) as crew:
        open_all(crew, common, connections, show)
        opened = crew.progress().opened
        crew.tell("deaf")
        _push(common, -(-connections // common.per_user), missed, everyone)
        if not crew.finish(10 + common.timeout, show):
            raise BenchError("what the devices were to miss did not come to them")
        before = crew.progress()
        used = 0.0 if kill else server_cost.cpu_seconds(common.server_pids)
        began = time.monotonic_ns()
        crew.tell("resume" if kill else "cut")
        for pid in kill:
            os.kill(pid, signal.SIGKILL)
        crew.finish(3600.0, show, _QUIET)
        cpu = 0.0 if kill else server_cost.cpu_seconds(common.server_pids) - used
        after = crew.progress()
        totals = crew.totals()
    expected = opened * missed
    got = after.messages - before.messages
    took = max(0, after.last_message_ns - began) / 1e9 if got else 0.0
    figures: dict[str, object] = {
        "bench": "resume",
        "connections": connections,
        "opened": opened,
        "missed_each": missed,
        "everyone": everyone,
        "killed": len(kill),
        "expected": expected,
        "missing": expected - got,
        "again": totals.again,
        "seconds": round(took, 3),
        "messages_per_s": per(got, took, 0),
        "refused": dict(totals.failures),
        "lost": dict(totals.lost),
        "handshake_ms": totals.handshakes.summary(),
    }
    if common.server_pids and not kill:
        figures["server"] = {"cpu_us_per_device": per(cpu * 1e6, opened, 2), "cpu_s": round(cpu, 2)}
    figures["generator"] = generator(totals, len(shares), crew.busiest)
    ok = opened == connections and got == expected
    return conclude(figures, ok, totals, crew)


def _push(common: Common, users: int, count: int, everyone: bool) -> None:
    """Push `count` messages to everyone, or to each of the users."""
    target, ids = common.target, Ids()
    groups = [range(first, min(first + _USERS, users)) for first in range(0, users, _USERS)]
    targets = [EVERYONE] if everyone else [many_users(f"u{number}" for number in group) for group in groups]
    for _ in range(count):
        for each in targets:
            request = PushRequest(target.api, target.api_key, each, 0, reliable=True)
            status = post(target.api, request.at(time.monotonic_ns(), ids.fresh()), common.timeout)
            if not 200 <= status < 300:
                raise BenchError(f"a push to be missed was answered {status}")
