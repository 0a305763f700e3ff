"""Autobahn's 517 cases, as kosoku runs them, against the echo server.

Cases 12.* and 13.* (compression) send 1,000 messages each of up to 128 KiB: they are most of the time, some 4 minutes
of two cores in all, so each group is a test of its own.
"""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.wire.echo import serve

PATIENCE = 300
"""Seconds for one group; the longest, 12.2 and 12.5, take some 50 s on two cores."""
LENIENT: set[str] = set()
"""Cases known to end NON-STRICT: none."""
COMPRESSION = [f"12.{group}" for group in range(1, 6)] + [f"13.{group}" for group in range(1, 8)]


async def run_cases(tmp_path: Path, *selection: str) -> set[str]:
    """Run the selected cases; returns which were run, all of them well."""
    server = await serve()
    host, port = server.sockets[0].getsockname()
    command = [str(Path(sys.executable).parent / "kosoku"), "-p", "4", *selection]
    async with server:
        process = await asyncio.create_subprocess_exec(
            *command,
            "-o",
            str(tmp_path),
            f"{host}:{port}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
    index = tmp_path / "index.json"
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


async def test_the_protocol_without_compression(tmp_path: Path) -> None:
    assert len(await run_cases(tmp_path, "-x", "12.*", "-x", "13.*")) == 517 - 18 * len(COMPRESSION)


@pytest.mark.parametrize("group", COMPRESSION)
async def test_compression(tmp_path: Path, group: str) -> None:
    assert len(await run_cases(tmp_path, "-i", f"{group}.*")) == 18
