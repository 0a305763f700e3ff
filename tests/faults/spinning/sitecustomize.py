"""Python imports this by itself where it is on the path: at SIGUSR1 a process then spins for ever, as a bug would."""

import signal


def spin(*_: object) -> None:
    while True:
        pass


signal.signal(signal.SIGUSR1, spin)
