"""Autobahn's 517 cases, as kosoku runs them, against the echo server. `python -m tests.wire.autobahn` runs them all.

Cases 12.* and 13.* (compression) send 1,000 messages each: 12.1 to 12.5 differ in what these say, 13.1 to 13.7 in what
is negotiated, and the 18 of each group in the sizes of messages and of their fragments.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.wire.echo import serve

PATIENCE = 600
"""Seconds for one run; all cases take some two minutes of two cores."""
LENIENT: set[str] = set()
"""Cases known to end NON-STRICT: none."""


async def run_cases(reports: Path, *selection: str) -> set[str]:
    """Run the selected cases; returns which were run, all of them well."""
    server = await serve()
    host, port = server.sockets[0].getsockname()
    command = [str(Path(sys.executable).parent / "kosoku"), "-p", "4", *selection]
    async with server:
        process = await asyncio.create_subprocess_exec(
            *command,
            "-o",
            str(reports),
            f"{host}:{port}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
    index = reports / "index.json"
    assert index.exists(), output.decode()
    agent: dict[str, dict[str, str]]
    (agent,) = json.loads(index.read_text()).values()
    bad = {
        case: (result["behavior"], result["behaviorClose"])
        for case, result in agent.items()
        if result["behavior"] not in ("OK", "INFORMATIONAL") or result["behaviorClose"] not in ("OK", "INFORMATIONAL")
    }
    assert bad.keys() == LENIENT, bad
    return set(agent)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as reports:
        print(f"{len(asyncio.run(run_cases(Path(reports))))} cases, all of them well")
