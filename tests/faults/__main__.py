"""`python -m tests.faults SECONDS [SEED]`: random faults under a stream of reliable pushes to a node of its own.

The seed, which is printed, decides which faults come in which order; exits 1, in plain words, with what was lost. The
node has two workers and syncs always, unless PUSHGATE_NODE_WORKERS and PUSHGATE_INBOX_SYNC say otherwise.
"""

import asyncio
import os
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.reliable_faults import Faults
from tests.faults.reliable_fleet import Fleet
from tests.rig.node import RunningNode

OFTEN = {"kill -9 a worker": 6, "kill -9 nats-server": 4, "kill -9 the supervisor": 3, "cut every client": 2}
"""How much more often than once, in some twenty faults, each comes."""
QUIET = (0.0, 4.0)
"""Seconds between two faults."""


async def chaos(node: RunningNode, seconds: float, seed: int) -> list[str]:
    """Return in words what was not as promised. Raises AssertionError with what never came to be."""
    dice = random.Random(seed)
    fleet = Fleet([node], 200, 40, seed)
    faults = Faults(node, fleet, dice)
    names = list(faults.by_name)
    until = time.monotonic() + seconds
    try:
        await fleet.start()
        while time.monotonic() < until:
            (name,) = dice.choices(names, [OFTEN.get(name, 1) for name in names])
            print(f"{max(0, until - time.monotonic()):4.0f} s  {name}", flush=True)
            await faults.inject(name)
            await asyncio.sleep(dice.uniform(*QUIET))
        return await fleet.finish()
    finally:
        await fleet.stop()
        print(f"{faults.kills} kills; {fleet.tell()}", flush=True)


def main(seconds: float, seed: int) -> int:
    """Return the exit status."""
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        settings = {"PUSHGATE_NODE_WORKERS": "2", "PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS": "0", **os.environ}
        node = RunningNode(Path(directory), **settings)
        try:
            node.start()
            wrong = asyncio.run(chaos(node, seconds, seed))
        except AssertionError as error:
            wrong = [str(error)]
        finally:
            node.stop()
            node.end_nats()
    for fault in wrong:
        print(f"failed (seed {seed}): {fault}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbits(32)))
