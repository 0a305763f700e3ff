"""The commands: what they print where, and how they exit."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import UNSET, Raw, UnsetType

from pushgate import __version__, cli
from pushgate.client import listener, pusher
from pushgate.client.answers import DeviceReceipt, Pushed, Reached, Receipt
from pushgate.client.errors import ApiProblem
from pushgate.config import Config
from pushgate.messages.client import Message
from pushgate.node import run as node_run
from tests.cli.conftest import Main, invoke
from tests.rig.certificates import the_authority

KEYS = {"api_key": "the generated API key", "token_secret": "the generated secret of the tokens"}
COMMANDS = [
    "",
    "run",
    "push",
    "listen",
    "token",
    "status",
    "config",
    "config show",
    "config check",
    "version",
    "bench",
    "bench connect",
    "bench broadcast",
    "bench push",
    "bench reliable",
    "bench resume",
    "bench hostile",
    "bench storm",
    "bench soak",
    "bench scale",
    "bench floor",
    "bench bus",
]


@pytest.fixture
def keys(tmp_path: Path) -> None:
    (tmp_path / "pushgate-data").mkdir()
    (tmp_path / "pushgate-data" / "keys.json").write_text(json.dumps(KEYS))


class FakePusher:
    """Remembers calls; answers, or raises `problem`."""

    calls: ClassVar[list[tuple[Any, ...]]] = []
    trusts: ClassVar[list[object]] = []
    problem: Exception | None = None
    offset: int | UnsetType = UNSET
    asked: ClassVar[list[tuple[str, int, str | None]]] = []
    receipts: ClassVar[list[Receipt]] = []

    def __init__(self, api: str, api_key: str, patience: float, tls: object = None) -> None:
        assert patience == 0, "a person wants to know at once"
        self.made = (api, api_key)
        self.trusts.append(tls)

    async def __aenter__(self) -> "FakePusher":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def push(self, data: object, **fields: object) -> Pushed:
        self.calls.append((*self.made, data, {name: value for name, value in fields.items() if value}))
        if self.problem:
            raise self.problem
        return Pushed("m1", self.offset)

    async def receipt(self, id: str, offset: int, *, user: str | None) -> Receipt:
        self.asked.append((id, offset, user))
        return self.receipts.pop(0) if len(self.receipts) > 1 else self.receipts[0]

    async def token(self, user: str, **fields: object) -> str:
        self.calls.append((*self.made, user, {name: value for name, value in fields.items() if value}))
        return "a.b.c"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakePusher]:
    monkeypatch.setattr(pusher, "AsyncPusher", FakePusher)
    FakePusher.calls, FakePusher.trusts, FakePusher.problem = [], [], None
    FakePusher.offset, FakePusher.asked, FakePusher.receipts = UNSET, [], []
    return FakePusher


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = invoke(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


WRONG = [
    "nonsense",
    "push",
    "push alice",
    "push --everyone a b",
    "push alice --data-base64 !",
    "push alice 1 --qos maybe",
    "push alice 1 --wait",
    "push alice 1 --wait --qos live",
    "listen alice --cursor-file f",
    "token",
    "bench connect",
    "bench connect 0",
    "bench hostile --rate 0",
]


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_is_2(words: str, keys: None) -> None:
    result = invoke(*words.split())
    assert result.exit_code == 2
    assert result.stdout == ""


def python(*words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, env=environment).stdout


def test_version_is_quick() -> None:
    """0.1 s on an idle machine: nothing heavy is imported before a command needs it."""
    assert python("-m", "pushgate", "version") == __version__ + "\n"
    loaded = python("-c", "import pushgate.cli, sys; print(*sys.modules)").split()
    assert not {"asyncio", "httpx", "litestar", "msgspec", "rich", "websockets"} & set(loaded)


@pytest.mark.parametrize(
    ("text", "data"), [('{"text":"hi"}', {"text": "hi"}), ("hello", "hello"), ("5", 5), ("null", None), ("", "")]
)
def test_push_takes_json_or_a_string(fake: type[FakePusher], keys: None, text: str, data: object) -> None:
    result = invoke("push", "alice", text)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"id": "m1"}
    assert fake.calls == [("http://127.0.0.1:8001", KEYS["api_key"], data, {"user": "alice"})]


def test_push_to_everyone_with_options(fake: type[FakePusher]) -> None:
    words = "push --everyone --event e --device d --tags a,b --tags c --data-base64 AP8= --id i --qos reliable --ttl 5"
    result = invoke(*words.split(), "--api", "http://other:1", "--api-key", "k")
    assert result.exit_code == 0
    fields = {"everyone": True, "event": "e", "device": "d", "tags": ["a", "b", "c"], "id": "i", "qos": "reliable"}
    assert fake.calls == [("http://other:1", "k", b"\0\xff", {**fields, "ttl": 5})]


def has(*devices: str, **more: Any) -> Receipt:
    """A receipt with devices; those that end in - lack the message."""
    receipts = [DeviceReceipt(name.rstrip("-"), not name.endswith("-"), 1, True) for name in devices]
    return Receipt("m1", 7, **{"state": "kept", "devices": receipts, **more})


RELIABLY = ("--qos", "reliable", "--wait")


def test_push_waits_until_every_device_has_it(fake: type[FakePusher], keys: None) -> None:
    fake.offset = 7
    fake.receipts = [has(), has("phone-"), has("phone", "tablet-"), has("phone", "tablet")]
    result = invoke("push", "alice", "hi", *RELIABLY)
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (0, {"id": "m1", "offset": 7}, "")
    assert fake.asked == [("m1", 7, "alice")] * 4


@pytest.mark.parametrize(
    ("receipt", "said"),
    [
        (has("phone", "tablet-", "tv-"), "lacked by tablet, tv"),
        (has(), "no device of alice is known"),
        (has("phone-", state="gone"), "lacked by phone; it is gone: expired or replaced"),
        (has("phone", missing=["there"]), "all devices known have it; no answer from there"),
        (has("phone-", missing=["a", "b"]), "lacked by phone; no answer from a, b"),
    ],
)
def test_push_says_who_lacks_it_when_time_is_over(
    fake: type[FakePusher], keys: None, receipt: Receipt, said: str
) -> None:
    fake.offset, fake.receipts = 7, [receipt]
    result = invoke("push", "alice", "hi", *RELIABLY, "--patience", "0.3")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"id": "m1", "offset": 7})
    assert result.stderr == f"pushgate: {said}\n"


@pytest.mark.parametrize(
    ("connected", "status", "said"),
    [
        (Reached(3, 3), 0, ""),
        (Reached(3, 1), 1, "pushgate: 2 of 3 connected devices lack it\n"),
        (Reached(0, 0), 1, "pushgate: no device is connected\n"),
    ],
)
def test_push_to_everyone_waits_for_those_who_are_connected(
    fake: type[FakePusher], keys: None, connected: Reached, status: int, said: str
) -> None:
    fake.offset, fake.receipts = 7, [has(devices=UNSET, connected=connected)]
    result = invoke("push", "--everyone", "hi", *RELIABLY, "--patience", "0")
    assert (result.exit_code, result.stderr) == (status, said)
    assert fake.asked == [("m1", 7, None)]


def test_an_api_problem_is_one_line_and_1(fake: type[FakePusher], keys: None, main: Main) -> None:
    fake.problem = ApiProblem(503, "bus_unavailable", "the bus is away")
    assert main("push", "alice", "hi") == (
        1,
        "",
        "pushgate: 503 bus_unavailable: the bus is away\n",
    )


@pytest.mark.parametrize("words", ["push alice hi", "token alice", "listen alice", "bench connect 5"])
def test_no_keys_is_2(words: str, main: Main) -> None:
    status, out, err = main(*words.split())
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "--api-key" in err


def test_token(fake: type[FakePusher], keys: None) -> None:
    result = invoke("token", "alice", "--ttl", "60", "--tags", "a,b")
    assert result.stdout == "a.b.c\n"
    assert fake.calls[0][2:] == ("alice", {"ttl": 60, "tags": ["a", "b"]})


def test_listen_prints_a_line_a_message(
    fake: type[FakePusher], keys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[tuple[Any, ...]] = []

    class FakeListener:
        def __init__(
            self, url: str, token: Any, *, device: str | None, cursor_file: Path | None, tls: Any, notice: Any
        ) -> None:
            made.append((url, device, cursor_file, tls))
            self.token, self.notice = token, notice

        async def acknowledge(self) -> None:
            self.notice("acknowledged")

        async def __aiter__(self) -> Any:
            self.notice("connected with " + await self.token())
            for number in range(9):
                await asyncio.sleep(0)
                yield Message(f"m{number}", "e", Raw(b'{"a": 1}'), 5)

    monkeypatch.setattr(listener, "Listener", FakeListener)
    result = invoke("listen", "alice", "--count", "2", "--device", "tv")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines == [{"type": "message", "id": f"m{n}", "event": "e", "data": {"a": 1}, "time": 5} for n in range(2)]
    assert result.stderr == "pushgate: connected with a.b.c\npushgate: acknowledged\n"
    [(url, device, file, tls)] = made
    assert (url, device, tls) == ("ws://127.0.0.1:8000/ws", "tv", None)
    assert file.parent == tmp_path / "state" / "pushgate"
    for words in ("bob --device tv", "alice --device tv2", "alice --device tv --url ws://x/ws", "alice"):
        invoke("listen", *words.split(), "--count", "1")
    assert len({str(each[2]) for each in made}) == 5, "each has a file of its own, and who is no device has none"
    invoke("listen", "alice", "--count", "1", "--device", "tv", "--cursor-file", "here.json")
    assert made[-1][2] == Path("here.json")


@pytest.mark.parametrize("words", ["push alice hi", "token alice"])
def test_whom_a_command_trusts(fake: type[FakePusher], keys: None, tmp_path: Path, words: str) -> None:
    assert invoke(*words.split()).exit_code == 0
    (tmp_path / "ca.pem").write_bytes(the_authority().pem)
    assert invoke(*words.split(), "--ca", "ca.pem").exit_code == 0
    usual, ours = fake.trusts
    assert usual is None
    assert isinstance(ours, ssl.SSLContext)
    assert [each["subject"] for each in ours.get_ca_certs()] == [((("commonName", "authority"),),)]


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--ca", "--ca: expected a PEM file of certificates, got 'file.pem': "),
        ("--cert", "--cert: expected a PEM file of a certificate and its key, got 'file.pem': "),
    ],
)
def test_files_of_trust_that_are_none(
    fake: type[FakePusher], keys: None, tmp_path: Path, main: Main, option: str, error: str
) -> None:
    words = ("push", "alice", "hi", option, "file.pem")
    assert main(*words) == (2, "", f"pushgate: {error}No such file or directory\n")
    (tmp_path / "file.pem").write_text("nonsense")
    status, _, said = main(*words)
    assert status == 2
    assert said.startswith(f"pushgate: {error}")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, bool]]:
    seen: list[tuple[Config, bool]] = []

    def run(read: Callable[[], Config], zero_config: bool) -> int:
        seen.append((read(), zero_config))
        return 0

    monkeypatch.setattr(node_run, "run", run)
    return seen


def test_run_without_configuration(runs: list[tuple[Config, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("run").exit_code == 0
    assert invoke("run", "--no-demo").exit_code == 0
    monkeypatch.setenv("PUSHGATE_MANAGEMENT_DEMO", "false")
    assert invoke("run").exit_code == 0
    assert [zero for _, zero in runs] == [True, True, True]
    assert [config.management.demo for config, _ in runs] == [True, False, False]


def test_run_with_a_file_and_flags(
    runs: list[tuple[Config, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "p.toml"
    file.write_text('[clients]\nport = 1\nhost = "0.0.0.0"\n')
    monkeypatch.setenv("PUSHGATE_CONFIG", str(file))
    flags = "--port 2 --management-port 3 --workers 4 --data-dir d --bus memory: --log-level debug --log-style json"
    assert invoke("run", *flags.split()).exit_code == 0
    config, zero_config = runs[0]
    assert not zero_config
    assert (config.clients.host, config.clients.port, config.management.port) == ("0.0.0.0", 2, 3)
    assert (config.node.workers, config.node.data_dir, config.bus.url) == (4, "d", "memory:")
    assert (config.log.level, config.log.style) == ("debug", "json")
    assert not config.management.demo


def test_run_with_a_bad_setting_is_2(main: Main) -> None:
    status, _, err = main("run", "--workers", "300")
    assert status == 2
    assert "node.workers" in err
    assert err.count("\n") == 1


def test_bench_prints_json_and_exits_1_when_all_failed(keys: None) -> None:
    result = invoke("bench", "connect", "3", "--hold", "0", "--url", "ws://127.0.0.1:1/ws", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == {"ECONNREFUSED": 3}
    assert "failed" in result.stderr
    table = invoke("bench", "connect", "3", "--hold", "0", "--url", "ws://127.0.0.1:1/ws")
    assert "ECONNREFUSED" in table.stdout


def test_bench_checks_the_cpu(keys: None, main: Main) -> None:
    status, _, err = main("bench", "connect", "3", "--pin", "4096")
    assert status == 2
    assert "--pin 4096" in err
