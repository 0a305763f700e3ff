"""A gateway of our own, on its usual ports, with data that goes when it is stopped."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

API = "http://127.0.0.1:8001"


@contextmanager
def start_gateway(data_dir: Path, host: str) -> Iterator[tuple[str, str, str]]:
    """Run a gateway; yields its API, an API key, and where clients connect. Raises RuntimeError when it cannot."""
    if _is_ready():
        raise RuntimeError(
            f"there is a gateway at {API} already: stop it, or name it by PUSHGATE_API, _KEY and _CLIENTS"
        )
    command = [sys.executable, "-m", "pushgate", "run", "--data-dir", str(data_dir), "--host", host]
    command += ["--no-demo", "--log-level", "warning"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as gateway:  # noqa: S603
        try:
            while not _is_ready():
                if gateway.poll() is not None:
                    raise RuntimeError("the gateway did not start: what it said is above")
                time.sleep(0.1)
            key = json.loads((data_dir / "keys.json").read_text())["api_key"]
            yield API, key, "ws://127.0.0.1:8000/ws"
        finally:
            gateway.terminate()


def _is_ready() -> bool:
    try:
        return httpx.get(f"{API}/readyz").is_success
    except httpx.TransportError:
        return False
