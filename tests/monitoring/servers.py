"""A real Prometheus and a real Alertmanager on deploy/monitoring, in a hurry; and who is told of alerts."""

import json
import math
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.nats import free_ports
from tests.monitoring.places import MONITORING, find_program
from tests.rig.node import wait_until

LOCAL = "127.0.0.1"


def replace_in(file: Path, *changes: tuple[str, str]) -> None:
    """Change a copy of one of our files; each pattern has to be there."""
    text = file.read_text()
    for pattern, instead in changes:
        text, count = re.subn(pattern, instead, text)
        assert count, f"{file.name} has no {pattern}"
    file.write_text(text)


class Server:
    """A program that answers at /-/ready on a port of its own; its log is beside its files."""

    def __init__(self, directory: Path, program: str, options: Sequence[str]) -> None:
        self._log = directory / "log"
        (self.port,) = free_ports(1)
        self.http = httpx.Client(base_url=f"http://{LOCAL}:{self.port}", timeout=10, trust_env=False)
        command = [find_program(program), f"--web.listen-address={LOCAL}:{self.port}", *options]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_until(self._is_ready, f"{program} is ready")
        except BaseException:
            self.stop()
            raise

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End it."""
        self.http.close()
        self._process.kill()
        self._process.wait()


class Hook:
    """A server that takes webhooks; `heard` has each alert that came, by the path it came to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.extend((self.path, alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOCAL, 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def of(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return what came of one alert."""
        return [(path, alert) for path, alert in self.heard if alert["labels"]["alertname"] == name]

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Alertmanager(Server):
    """Alertmanager on our example, which waits for nothing and tells the hook."""

    def __init__(self, directory: Path, hook: int) -> None:
        directory.mkdir()
        shutil.copy(MONITORING / "alertmanager.yml", directory)
        replace_in(
            directory / "alertmanager.yml",
            ("group_wait: 10s", "group_wait: 100ms"),
            ("127.0.0.1:9999", f"{LOCAL}:{hook}"),
        )
        options = ["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="]
        super().__init__(directory, "prometheus-alertmanager", options)


class Prometheus(Server):
    """Prometheus on our configuration and rules, which looks every second, and lets no alert wait."""

    def __init__(self, directory: Path, node: str, alertmanager: int) -> None:
        directory.mkdir()
        shutil.copy(MONITORING / "prometheus.yml", directory)
        shutil.copytree(MONITORING / "rules", directory / "rules")
        replace_in(
            directory / "prometheus.yml",
            ("interval: 15s", "interval: 1s"),
            ("127.0.0.1:8001", node),
            ("127.0.0.1:9093", f"{LOCAL}:{alertmanager}"),
        )
        replace_in(directory / "rules" / "pushgate-alerts.yml", (r"\bfor: \d+[sm]", "for: 1s"))
        options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        super().__init__(directory, "prometheus", options)

    def ask(self, query: str) -> list[float]:
        """Return the values that a query finds now, but for what is no number. Fails where it is wrong."""
        answer = self.http.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, (query, answer.text)
        data = answer.json()["data"]
        samples = [data] if data["resultType"] == "scalar" else data["result"]
        values = (float(sample["value"][1]) for sample in samples)
        return [value for value in values if not math.isnan(value)]

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules as Prometheus has read them, with how they are."""
        groups = self.http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]
