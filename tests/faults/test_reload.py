"""A node reads its configuration anew by SIGHUP, under the eyes of its clients."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import jwt
import pytest

from pushgate.tenants.registry import hash_api_key
from tests.rig.client import Refused, WsClient
from tests.rig.node import RunningNode, is_alive, wait_until

MakeNode = Callable[..., RunningNode]

FILE = """
[tenants.{name}]
api_keys = ["{key_hash}"]
pushes_per_second = {rate}
[[tenants.{name}.token_keys]]
algorithm = "HS256"
secret = "{secret}"
"""


def tenant(name: str, secret: str = "s" * 32, rate: int = 0) -> str:
    return FILE.format(name=name, key_hash=hash_api_key(f"key of {name}"), secret=secret, rate=rate)


async def join(node: RunningNode, name: str, user: str = "alice", secret: str = "s" * 32) -> WsClient:
    token = jwt.encode({"sub": user, "tenant": name, "exp": int(time.time()) + 60}, secret, "HS256")
    return await WsClient.join(node.clients_port, f"/ws?token={token}")


def push(node: RunningNode, name: str, user: str = "alice") -> int:
    headers = {"Authorization": f"Bearer key of {name}"}
    body = {"user": user, "data": name}
    return httpx.post(f"{node.api}/v1/push", json=body, headers=headers, timeout=10).status_code


async def status_of(node: RunningNode, headers: dict[str, str] | None = None) -> int:
    """Return what an upgrade without a token is answered."""
    try:
        client = await WsClient.open(node.clients_port, headers=headers)
    except Refused as refused:
        return refused.status
    await client.close()
    return 101


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "pushgate.toml"
    file.write_text(tenant("old") + tenant("kept"))
    return file


def reload(node: RunningNode, result: str = "done") -> None:
    name = f'config_reloads_total{{result="{result}"}}'
    before = node.metrics()[name]
    node.reload()
    wait_until(lambda: node.metrics()[name] == before + 1, "the reload is done")


async def test_tenants_come_and_go_without_a_dropped_connection(make_node: MakeNode, file: Path) -> None:
    node = make_node("--workers", "2", "--config", str(file))
    node.start()
    staying = [await join(node, "kept", f"user{number}") for number in range(10)]
    leaving = [await join(node, "old", f"user{number}") for number in range(10)]
    file.write_text(tenant("new") + tenant("kept", secret="another secret, of 32 bytes too."))
    reload(node)
    for client in leaving:
        assert (await client.receive_close())[0] == 4500
    wait_until(lambda: push(node, "new") == 202, "every worker knows the new tenant")
    for _ in range(10):  # whichever worker is asked
        assert (push(node, "new"), push(node, "old")) == (202, 401)
    for number, client in enumerate(staying):
        assert push(node, "kept", f"user{number}") == 202
        assert (await client.receive())["data"] == "kept"
    await join(node, "new")
    await join(node, "kept", secret="another secret, of 32 bytes too.")
    with pytest.raises(AssertionError):
        await join(node, "kept")
    metrics = node.metrics()
    assert metrics['tenant_connections{tenant="kept"}'] == 11
    assert metrics['tenant_connections{tenant="old"}'] == 0
    assert node.total("worker_restarts_total") == 0
    os.kill(node.worker_pids[0], signal.SIGKILL)
    wait_until(lambda: node.total("worker_restarts_total") == 1 and node.answers_ready(), "a worker is new")
    for _ in range(10):
        assert (push(node, "new"), push(node, "old")) == (202, 401), "it begins with what was reloaded"


async def test_a_wrong_configuration_changes_nothing_and_says_why(make_node: MakeNode, file: Path) -> None:
    node = make_node("--workers", "2", "--config", str(file))
    node.start()
    client = await join(node, "old")
    for text in ("[tenants.new]\nsecret = 1", tenant("new", secret="short"), "[", "[clients]\nbacklog = 0"):
        file.write_text(text)
        reload(node, "failed")
    file.unlink()
    reload(node, "failed")
    for _ in range(10):
        assert (push(node, "old"), push(node, "new")) == (202, 401)
        assert (await client.receive())["data"] == "old"
    reasons = [line["reason"] for line in node.log_lines() if line["event"].startswith("the configuration is wrong")]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "tenants.new.secret",
        "tenants.new.token_keys[0].secret",
        str(file),
        "clients.backlog",
        str(file),
    ]
    assert "short" not in node.log()


async def test_what_a_reload_cannot_change_is_named(make_node: MakeNode, file: Path) -> None:
    node = make_node("--workers", "1", "--config", str(file))
    node.start()
    file.write_text(tenant("old", rate=1) + "[clients]\nping_interval = 9.0\n")
    reload(node)
    (line,) = [line for line in node.log_lines() if line["event"] == "some settings change with the next start only"]
    assert line["settings"] == ["clients.ping_interval"]
    statuses = [push(node, "old") for _ in range(10)]
    assert 429 in statuses, "the rate holds at once"


async def test_new_limits_and_origins_hold_at_once_and_wrong_ones_never(make_node: MakeNode, file: Path) -> None:
    node = make_node("--workers", "2", "--config", str(file))
    node.start()
    clients = [await join(node, "kept", f"user{number}") for number in range(4)]
    limits = "[limits]\nconnections_per_address = 5\nhandshakes_per_address = 0\n"
    file.write_text(tenant("kept") + limits + "[clients]\norigins = ['https://a.test']\n")
    reload(node)
    async with asyncio.timeout(10):
        while {await status_of(node, {"Origin": "https://b.test"}) for _ in range(6)} != {403}:
            pass  # until every worker has taken it on
    for text in ("[clients]\norigins = ['a.test']\n", "[clients]\ntrusted_proxies = ['10.0.0.1/8']\n"):
        file.write_text(tenant("new") + text)
        reload(node, "failed")
    statuses = {await status_of(node, {"Origin": "https://b.test"}) for _ in range(6)}  # whichever worker accepts it
    assert statuses == {403}
    clients.append(await join(node, "kept", "user4"))
    assert {await status_of(node) for _ in range(6)} == {429}
    for client in clients:
        assert await client.is_quiet()
    assert push(node, "new") == 401, "a wrong configuration changed nothing"


async def test_reloads_under_load_lose_nothing(make_node: MakeNode, file: Path) -> None:
    node = make_node("--workers", "2", "--config", str(file))
    node.start()
    client = await join(node, "kept")

    async def reload_often() -> None:
        for number in range(30):
            file.write_text(tenant("kept") + tenant(f"t{number}"))
            node.reload()
            await asyncio.sleep(0)
            await asyncio.to_thread(push, node, "kept", "nobody")

    reloading = asyncio.create_task(reload_often())
    pushed = 0
    while not reloading.done():
        assert await asyncio.to_thread(push, node, "kept") == 202
        pushed += 1
        assert (await client.receive())["data"] == "kept"
    await reloading
    assert pushed > 10
    assert all(is_alive(pid) for pid in node.worker_pids)
    assert node.total("worker_restarts_total") == 0
