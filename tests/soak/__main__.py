"""`python -m tests.soak SECONDS`: runs the soak against a node of its own; exits 1, in plain words, if it fails."""

import sys
import tempfile
from pathlib import Path

from tests.hostile.known import KnownNode
from tests.soak.soak import soak


def main(seconds: float) -> int:
    """Return the exit status."""
    with tempfile.TemporaryDirectory() as directory:
        node = KnownNode(Path(directory))
        try:
            node.start()
            faults = soak(node, Path(directory), seconds, lambda line: print(line, flush=True))
        except AssertionError as error:
            faults = [str(error)]
        finally:
            node.stop()
            node.end_nats()
    for fault in faults:
        print(f"failed: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
