"""A gateway in processes of its own: `pushgate run` on free ports, with fresh keys; and how to hurt it."""

import fcntl
import json
import os
import signal
import ssl
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt

import pushgate

PATIENCE = 20.0
"""Seconds that a start, a stop or anything else waited for may take."""


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until something is so; fails, naming it, when it does not come."""
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.01)


def read_metrics(text: str) -> dict[str, float]:
    """Return what a scrape says, by name and labels as they stand there."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("pushgate_"): float(value) for name, _, value in lines}


class RunningNode:
    """One node; it keeps its ports, keys and data when it is stopped and started again."""

    def __init__(self, directory: Path, *options: str, **environ: str) -> None:
        self.host = "127.0.0.1"
        self.within: list[str] = []
        """What its command line begins with: where it runs, when that is not here."""
        self.clients_port = 0
        self.management_port = 0
        self.data_dir = directory / "data"
        self._log = directory / "stderr"
        self._options = options
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._successor = 0
        self.terminal = -1
        """A terminal that the node runs at, as the leader of its session; -1: none."""
        self.trust: ssl.SSLContext | None = None
        """What its callers trust and show, where its management port speaks TLS."""

    @property
    def api(self) -> str:
        """Where its HTTP API is."""
        return f"{'https' if self.trust else 'http'}://{self.host}:{self.management_port}"

    @property
    def clients_address(self) -> tuple[str, int]:
        """Where clients connect, as sockets have it."""
        return self.host, self.clients_port

    @property
    def management_address(self) -> tuple[str, int]:
        """Where its HTTP API is, as sockets have it."""
        return self.host, self.management_port

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://{self.host}:{self.clients_port}/ws"

    @property
    def key(self) -> str:
        """Its API key."""
        return self._keys()["api_key"]

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._successor or self._process.pid

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of its workers, in the order of their start."""
        return [pid for pid in self._children() if _name_of(pid) != "nats-server"]

    @property
    def nats_pid(self) -> int:
        """The process id of its nats-server, its own or adopted."""
        return int(json.loads((self.data_dir / "nats" / "nats.json").read_text())["pid"])

    def token(self, user: str, **claims: Any) -> str:
        """Return a client token, made as a business system makes it."""
        payload = {"sub": user, "exp": int(time.time()) + 3600, **claims}
        return jwt.encode(payload, self._keys()["token_secret"], "HS256")

    def push(self, user: str | None = None, data: Any = "hi", **fields: Any) -> httpx.Response:
        """Push to a user, or to everyone; returns the answer, whatever it is."""
        target = {"everyone": True} if user is None else {"user": user}
        return httpx.post(
            f"{self.api}/v1/push",
            json={**target, "data": data, **fields},
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=10,
            verify=self.trust or True,
        )

    def metrics(self) -> dict[str, float]:
        """Return what a scrape says, by name and labels as they stand there."""
        return read_metrics(self.scrape())

    def scrape(self) -> str:
        """Return a scrape as it comes."""
        return httpx.get(f"{self.api}/metrics", timeout=10, verify=self.trust or True).text

    def total(self, name: str) -> float:
        """Return what a scrape says of a metric, summed over its labels."""
        return sum(value for key, value in self.metrics().items() if key.partition("{")[0] == name)

    def start(self) -> None:
        """Start it, and return when it is ready."""
        self.launch()
        wait_until(self.is_ready, "the node is ready")

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start it without waiting."""
        command = [*self.within, sys.executable, "-m", "pushgate", "run", "--log-style", "json"]
        command += ["--data-dir", str(self.data_dir), "--host", self.host, "--management-host", self.host]
        command += ["--port", str(self.clients_port), "--management-port", str(self.management_port), *self._options]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PUSHGATE_")}
        environ["PYTHONPATH"] = str(Path(pushgate.__file__).parents[1])
        environ.update({"PUSHGATE_NODE_STOP_GRACE": "1", "PUSHGATE_NODE_DRAIN": "0", **self._environ})
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._log.parent,
                env=environ,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._take_terminal if self.terminal >= 0 else None,  # noqa: PLW1509
            )
        return self._process

    def _take_terminal(self) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSCTTY, 0)

    def upgrade(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Upgrade it as an operator does; returns what the command said. Its ports and keys stay."""
        command = [sys.executable, "-m", "pushgate", "upgrade", "--data-dir", str(self.data_dir), *options]
        environ = {**os.environ, "PYTHONPATH": str(Path(pushgate.__file__).parents[1])}
        old = self.pid
        until = time.monotonic() + PATIENCE
        while True:  # for a second or so after an upgrade no other one can be made
            said = subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=60)
            if "the upgrade before is not over" not in said.stderr or time.monotonic() > until:
                break
        if said.returncode == 0:
            self._successor = int((self.data_dir / "node.lock").read_text())
            assert self._process is not None
            if old == self._process.pid:
                assert self._process.wait(PATIENCE) == 0, self.log()
            else:
                wait_until(lambda: not is_alive(old), "the old supervisor has ended")
        return said

    def _stop_successor(self) -> None:
        pid, self._successor = self._successor, 0
        if pid and is_alive(pid):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not is_alive(pid), "the node has ended")

    def stop(self) -> None:
        """Stop it as an operator does, by SIGTERM; what an injected fault left behind is ended too."""
        self._stop_successor()
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                assert process.wait(PATIENCE) == 0, self.log()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def kill(self) -> None:
        """Kill the supervisor with -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end_nats(self) -> None:
        """End a nats-server that outlived its supervisor."""
        try:
            os.kill(self.nats_pid, signal.SIGKILL)
        except (OSError, ValueError):
            pass  # none was started, or it is gone

    def reload(self) -> None:
        """Have it read its configuration anew, as an operator does."""
        os.kill(self.pid, signal.SIGHUP)

    def log(self) -> str:
        """Return what it logged since it was started."""
        return self._log.read_text()

    def is_ready(self) -> bool:
        """Whether it is ready; fails when it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"the node ended: {self.log()}"
        for line in self.log_lines():
            if line["event"] == "ready":
                self.clients_port, self.management_port = line["clients"][1], line["management"][1]
                return self.answers_ready()
        return False

    def answers_ready(self) -> bool:
        """Whether it says that it is ready."""
        try:
            return httpx.get(f"{self.api}/readyz", timeout=5.0, verify=self.trust or True).status_code == 200
        except httpx.TransportError:
            return False

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def _keys(self) -> dict[str, str]:
        keys: dict[str, str] = json.loads((self.data_dir / "keys.json").read_text())
        return keys

    def log_lines(self) -> Iterator[dict[str, Any]]:
        """Return the lines of its log so far."""
        for line in self.log().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                yield json.loads(line)


def is_alive(pid: int) -> bool:
    """Whether a process lives (and is no zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
