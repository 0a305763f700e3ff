"""`bench broadcast`: one message to everyone, and how long until the last client has it."""

import http.client
import time

from pushgate.bench import server_cost
from pushgate.bench.connect import open_all
from pushgate.bench.crew import Crew, Show, divide
from pushgate.bench.figures import conclude, generator, per
from pushgate.bench.options import Address, BenchError, Common, Result
from pushgate.bench.payload import EVERYONE, PushRequest, padding_for

_QUIET = 5.0  # seconds without a message after which the missing ones are given up
_REST = 0.3  # seconds between two rounds, for the server to finish what it does behind a push


def bench_broadcast(common: Common, connections: int, rounds: int, size: int, show: Show | None = None) -> Result:
    """Push a message of a `size`-byte frame to everyone `rounds` times over `connections`; raises BenchError."""
    shares = divide(common, connections)
    request = PushRequest(common.target.api, common.target.api_key, EVERYONE, padding_for(size))
    with Crew(common, shares) as crew:
        open_all(crew, common, connections, show)
        used, spent = server_cost.cpu_seconds(common.server_pids), crew.progress().cpu
        each = [{"round": number, **push_round(crew, common, request, show)} for number in range(1, rounds + 1)]
        cpu, spent = server_cost.cpu_seconds(common.server_pids) - used, crew.progress().cpu - spent
        refused = any(not 200 <= figures["status"] < 300 for figures in each)
        totals = crew.totals()
        missing = max(0, totals.opened * rounds - totals.messages)
        figures: dict[str, object] = {
            "bench": "broadcast",
            "connections": connections,
            "opened": totals.opened,
            "failed": dict(totals.failures),
            "lost": dict(totals.lost),
            "frame_bytes": per(totals.received, totals.messages),
            "messages": totals.messages,
            "missing": missing,
            "latency_ms": totals.latencies.summary(),
            "rounds": each,
        }
        if common.server_pids:
            figures["server"] = {
                "cpu_us_per_write": per(cpu * 1e6, totals.messages, 2),
                "cpu_s": round(cpu, 2),
            }
        figures["generator"] = generator(totals, len(shares), crew.busiest) | {
            "cpu_us_per_write": per(spent * 1e6, totals.messages, 2)
        }
        ok = totals.opened == connections and not (totals.lost or missing or refused)
        return conclude(figures, ok, totals, crew)


def push_round(crew: Crew, common: Common, request: PushRequest, show: Show | None) -> dict[str, float]:
    """Push to everyone once; returns how long it took and what arrived. Raises BenchError."""
    time.sleep(_REST)
    crew.tell("round")
    before = crew.progress()
    called = time.monotonic_ns()
    status = post(common.target.api, request.at(called), common.timeout)
    answered = time.monotonic_ns()
    crew.finish(3600.0, show, _QUIET)
    after = crew.progress()
    got = after.messages - before.messages
    took = max(0, after.last_message_ns - called) / 1e9 if got else 0.0
    return {
        "status": status,
        "call_ms": round((answered - called) / 1e6, 3),
        "seconds": round(took, 4),
        "messages": got,
        "missing": max(0, before.opened - before.lost - got),
        "messages_per_s": per(got, took, 0),
    }


def post(api: Address, request: bytes, timeout: float) -> int:
    """Send one whole request on a connection of its own and return the answer's status; raises BenchError."""
    connection = http.client.HTTPConnection(api.ip, api.port, timeout=timeout)
    try:
        connection.connect()
        connection.sock.sendall(request)
        answer = http.client.HTTPResponse(connection.sock, method="POST")
        answer.begin()
        return answer.status
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"{api.host}: the push was not answered: {error}") from None
    finally:
        connection.close()
