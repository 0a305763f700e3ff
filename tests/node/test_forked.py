"""Workers are forked from one process: what a module draws by chance at import is the same in all of them."""

import subprocess
import sys

SCRIPT = """
import os, pkgutil, secrets, sys

def noted(draw):
    def wrapper(*arguments):
        caller = sys._getframe(1).f_globals["__name__"]
        if caller.startswith("pushgate"):
            print(caller)
        return draw(*arguments)
    return wrapper

for module, names in (secrets, ("token_bytes", "token_hex", "token_urlsafe", "randbits")), (os, ("urandom",)):
    for name in names:
        setattr(module, name, noted(getattr(module, name)))

import pushgate

for module in pkgutil.walk_packages(pushgate.__path__, "pushgate."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
print("imported", len([name for name in sys.modules if name.startswith("pushgate.")]) > 100)
"""


def test_nothing_is_drawn_before_the_fork_that_has_to_be_unlike_in_each_worker() -> None:
    """Consumers and batches of two workers once had the same names, and the one got what was the other's."""
    said = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
    assert said == "imported True\n"
