"""How long to wait before a listener's next try, so that all who lost the same gateway come back evenly, and soon."""

import random

_UNTOLD = 2.0  # seconds to spread the first tries over, where the gateway told nothing
_LONGEST = 30.0


class Backoff:
    """The waits between the tries of one listener.

    The first is by chance within the spread, and then it is the spread again: so those who lost a gateway at the same
    moment stay spread, and are there a spread after it is back. Once they have waited for long, it is up to a quarter
    of that. (`sdk/js/src/backoff.ts` does the same.)
    """

    def __init__(self) -> None:
        self._spread = _UNTOLD
        self._waited = 0.0

    def next(self, after: float | None = None) -> float:
        """Return the next wait, in seconds; `after` is what the gateway asked for, which has spread it itself."""
        wait = self._choose() if after is None else after
        self._waited += wait
        return wait

    def reset(self) -> None:
        """Begin anew: a connection held."""
        self._waited = 0.0

    def raise_to(self, spread: float) -> None:
        """Take the seconds that a gateway wants its clients to be spread over; while they come back it knows of few."""
        self._spread = min(_LONGEST, max(self._spread, spread))

    def _choose(self) -> float:
        chance = random.random()  # noqa: S311
        if not self._waited:
            return chance * self._spread
        return max(self._spread, min(_LONGEST, self._waited / 4) * (1 + chance) / 2)
