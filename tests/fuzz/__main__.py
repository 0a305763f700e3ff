"""`python -m tests.fuzz TARGET CORPUS [libFuzzer's options]`: atheris looks for bytes that break a target's property.

`make fuzz` runs every target for a share of SECONDS. Without arguments the targets' names are printed.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pushgate"]):
    from tests.fuzz import lobby_target, message_targets, wire_targets

TARGETS = wire_targets.TARGETS | message_targets.TARGETS | lobby_target.TARGETS
NAMED = {target.__name__: (target, seeds) for target, seeds in TARGETS.items()}

if len(sys.argv) < 3:
    print("\n".join(NAMED))
    sys.exit(0)
program, name, corpus, *options = sys.argv
target, seeds = NAMED[name]
directory = Path(corpus)
directory.mkdir(parents=True, exist_ok=True)
for number, seed in enumerate(seeds):
    (directory / f"seed-{number}").write_bytes(seed)
atheris.Setup([program, corpus, *options], target)
atheris.Fuzz()
