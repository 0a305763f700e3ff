"""Every example of the documentation, pasted against a real node, does what it says."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.rig.client import WsClient
from tests.rig.node import RunningNode

KICK_SESSION = "/v1/users/{user}/sessions/{session}"
RECEIPT = "/v1/messages/{id}"


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    node = RunningNode(tmp_path_factory.mktemp("node"), "--workers", "2")
    try:
        node.start()
        yield node
    finally:
        node.stop()


def paste(
    node: RunningNode, method: str, path: str, operation: dict[str, Any], body: Any = None, **instead: str
) -> httpx.Response:
    """Call as the page's curl line does."""
    query: list[str] = []
    for each in operation.get("parameters", ()):
        value = str(instead.get(each["name"], each.get("example", "")))
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", quote(value, safe=""))
        elif value:
            query.append(f"{each['name']}={quote(value, safe='')}")
    path += f"?{'&'.join(query)}" if query else ""
    public = operation.get("security") == []
    headers = {} if public else {"Authorization": f"Bearer {node.key}"}
    return httpx.request(method, f"{node.api}{path}", headers=headers, json=body, timeout=10)


async def test_every_example_can_be_pasted(node: RunningNode) -> None:
    document = httpx.get(f"{node.api}/openapi.json").json()
    pasted = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            success, *_ = operation["responses"]
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for body in [each["value"] for each in media.get("examples", {}).values()] or [None]:
                response = paste(node, method, path, operation, body)
                # No node has just that session, and whether it has that offset is a matter of the order.
                expected = "404" if path == KICK_SESSION else success
                if path == RECEIPT and response.status_code == 404:
                    expected = "404"
                assert (path, method, str(response.status_code)) == (path, method, expected), response.text
                assert (
                    response.headers["content-type"].partition(";")[0] in (operation["responses"][expected]["content"])
                )
                pasted += 1
    assert pasted >= 15


async def test_a_session_is_closed_by_what_the_page_says(node: RunningNode) -> None:
    operation = httpx.get(f"{node.api}/openapi.json").json()["paths"][KICK_SESSION]["delete"]
    alice = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    response = paste(node, "delete", KICK_SESSION, operation, session=alice.welcome["session"])
    assert (response.status_code, response.json()) == (200, {"closed": 1, "missing": []})
    assert (await alice.receive_close())[0] == 4503
    await alice.close()
