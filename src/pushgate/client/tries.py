"""When a call is made again that failed, and after how long."""

import random
import time

import httpx

from pushgate.client.errors import ApiProblem, Unreachable

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Tries:
    """The tries of one call, for `patience` seconds from now on.

    One that is repeatable is made again after a 429, a 5xx, a time-out and a lost connection; another, only
    where the gateway surely did nothing: after a 429, and where nobody could be connected to.
    """

    def __init__(self, repeatable: bool, patience: float) -> None:
        self._repeatable = repeatable
        self._until = time.monotonic() + patience
        self._failures = 0

    def wait_after(self, failure: ApiProblem | httpx.HTTPError, where: str) -> float:
        """Return the seconds to wait before the next try: what the gateway asked for, and a random part on top.

        Raises what failed, as ApiProblem or Unreachable, when there is to be none, or it would come too late.
        """
        if isinstance(failure, ApiProblem):
            error: ApiProblem | Unreachable = failure
            again = failure.status == 429 or (failure.status >= 500 and self._repeatable)
            asked = failure.retry_after
        else:
            error = Unreachable(f"{where}: {str(failure) or type(failure).__name__}")
            again, asked = self._repeatable or isinstance(failure, _NEVER_SENT), 0
        wait = asked + random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**self._failures))  # noqa: S311
        self._failures += 1
        if not again or time.monotonic() + wait >= self._until:
            raise error from (None if error is failure else failure)
        return wait
