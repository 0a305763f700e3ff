"""A line a request, at log level debug: which route, by which tenant, how it ended. Never a uid, nor any data."""

import time

from pushgate.log import get_logger

_log = get_logger("api")


def trace(method: str, route: str, status: int, request_id: str, tenant: str, began: float) -> None:
    """Log a request that was answered; `began` is when it came (monotonic), `route` "" for a path that is none."""
    seconds = round(time.monotonic() - began, 6)
    _log.debug(
        "request", method=method, route=route, status=status, request_id=request_id, tenant=tenant, seconds=seconds
    )
