"""Who gets the demo page, with the push key in it, and how the page is guarded in a browser."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pushgate.api.app import build_app
from pushgate.api.demo import demo_routes
from pushgate.api.entry import Entry
from pushgate.codes import Close
from pushgate.metrics.rows import Rows

KEY = """pg_</script><script>alert("1")</script><!--&lt;'\\\u2028"""
SCRIPTS = tuple(f"/demo/demo{part}.js" for part in ("", "_api", "_connection", "_device"))
STYLES = ("/demo/theme.css", "/demo/demo.css")
FILES = ("/demo", *SCRIPTS, *STYLES)
APP = build_app(demo_routes(KEY, 8000, clients_tls=False))


async def fetch(
    path: str = "/demo",
    headers: list[tuple[str, str]] | None = None,
    host: str = "127.0.0.1:8001",
    peer: str = "127.0.0.1",
) -> httpx.Response:
    async with client_of(APP, peer) as client:
        return await client.get(path, headers=[("Host", host), *(headers or [])])


def client_of(app: Any, peer: str = "127.0.0.1") -> httpx.AsyncClient:
    """Return a caller of an application as ApiServer has it: with a row to count in, and behind Entry."""
    app.state.context = SimpleNamespace(row=Rows(1).row(0))
    entry: Any = Entry(app, calls=None)
    transport = httpx.ASGITransport(entry, client=(peer, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001")


def assert_refused(response: httpx.Response) -> None:
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "forbidden"
    assert "pg_" not in response.text


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8001", "localhost", "LocalHost:1", "[::1]", "[::1]:65535"],
)
@pytest.mark.parametrize("path", FILES)
async def test_this_machine_by_its_names(host: str, path: str) -> None:
    assert (await fetch(path, host=host)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "example.com:8001",
        "192.0.2.7:8001",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "localhost@example.com",
        "localhost.",
        "localhost:",
        "localhost:80:80",
        "localhost:8001x",
        "127.0.0.2",
        "::1",
        "0.0.0.0",
        "",
    ],
)
@pytest.mark.parametrize("path", FILES)
async def test_a_foreign_name_is_refused(host: str, path: str) -> None:
    assert_refused(await fetch(path, host=host))


@pytest.mark.parametrize("host", ["example.com#localhost", "localhost#", "localhost/"])
async def test_what_is_no_name_at_all_is_refused(host: str) -> None:
    response = await fetch(host=host)
    assert response.status_code in (400, 403)
    assert "pg_" not in response.text


async def test_two_names_are_refused() -> None:
    assert_refused(await fetch(headers=[("Host", "localhost")]))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
async def test_a_peer_on_this_machine(peer: str) -> None:
    assert (await fetch(peer=peer)).status_code == 200


@pytest.mark.parametrize(
    "peer", ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "fe80::1", "2001:db8::1", "0.0.0.0", "", "testclient"]
)
@pytest.mark.parametrize("path", FILES)
async def test_a_peer_elsewhere_is_refused(peer: str, path: str) -> None:
    assert_refused(await fetch(path, peer=peer))


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP"],
)
@pytest.mark.parametrize("path", FILES)
async def test_a_proxy_in_front_is_refused(header: str, path: str) -> None:
    assert_refused(await fetch(path, headers=[(header, "127.0.0.1")]))


class Settings(HTMLParser):
    """The text of the settings element, as a browser's parser finds it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.scripts: list[dict[str, str | None]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs))
            self._inside = dict(attrs).get("id") == "settings"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.text += data


async def test_settings_come_whole_whatever_the_key_holds() -> None:
    settings = Settings((await fetch()).text)
    read = json.loads(settings.text)
    assert (read["key"], read["port"]) == (KEY, 8000)
    assert len(settings.scripts) == 2
    assert not re.search("[<>&\u2028]", settings.text)


async def test_settings_explain_every_close_code() -> None:
    closes = json.loads(Settings((await fetch()).text).text)["closes"]
    assert set(closes) == {str(code.value) for code in Close}
    assert {code for code, advice in closes.items() if not advice["again"]} >= {"1000", "4500", "4506"}
    assert closes["4000"]["again"]


async def test_nothing_runs_inline_or_comes_from_elsewhere() -> None:
    page = (await fetch()).text
    settings = Settings(page)
    assert all("src" in script or script["type"] == "application/json" for script in settings.scripts)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)
    for path in FILES:
        text = (await fetch(path)).text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), path


@pytest.mark.parametrize("path", FILES)
async def test_headers(path: str) -> None:
    headers = (await fetch(path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


async def test_the_page_of_a_gateway_whose_clients_speak_tls() -> None:
    async with client_of(build_app(demo_routes(KEY, 8000, clients_tls=True))) as client:
        page = await client.get("/demo", headers={"Host": "localhost"})
    assert json.loads(Settings(page.text).text)["scheme"] == "wss"
    assert "connect-src 'self' wss://127.0.0.1:8000 wss://localhost:8000;" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "sockets"),
    [
        ("127.0.0.1:8001", "ws://127.0.0.1:8000 ws://localhost:8000"),
        ("localhost", "ws://127.0.0.1:8000 ws://localhost:8000"),
        ("[::1]:8001", "ws://*:8000"),  # a policy cannot name an IPv6 address
    ],
)
async def test_content_security_policy(host: str, sockets: str) -> None:
    header = (await fetch(host=host)).headers["content-security-policy"]
    policy = dict(part.strip().split(" ", 1) for part in header.split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "data:",
        "connect-src": f"'self' {sockets}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }


async def test_types() -> None:
    types = [(await fetch(path)).headers["content-type"] for path in FILES]
    script = "text/javascript; charset=utf-8"
    assert types == ["text/html; charset=utf-8", *[script] * len(SCRIPTS), *["text/css; charset=utf-8"] * len(STYLES)]


async def test_absent_where_it_was_not_asked_for() -> None:
    async with client_of(build_app()) as client:
        assert (await client.get("/demo")).status_code == 404
