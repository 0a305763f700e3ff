"""How the console and its files are served."""

import re
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pushgate.api.app import build_app
from pushgate.api.console import CONSOLE_FILES
from pushgate.api.entry import Entry
from pushgate.metrics.rows import Rows

PATHS = ("/console", *(f"/console/{name}" for name in CONSOLE_FILES))


async def fetch(path: str) -> httpx.Response:
    app = build_app()
    app.state.context = SimpleNamespace(row=Rows(1).row(0))
    entry: Any = Entry(app, calls=None)
    transport = httpx.ASGITransport(entry, client=("192.0.2.7", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway:8001") as client:
        return await client.get(path)


@pytest.mark.parametrize("path", PATHS)
async def test_headers_and_contents(path: str) -> None:
    response = await fetch(path)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in response.headers
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", response.text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage", response.text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", response.text)


async def test_content_security_policy() -> None:
    header = (await fetch("/console")).headers["content-security-policy"]
    assert dict(part.strip().split(" ", 1) for part in header.split(";")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


async def test_all_that_the_page_loads_is_served_and_nothing_else() -> None:
    loaded = {*re.findall(r'(?:src|href)="/console/([^"]+)"', (await fetch("/console")).text)}
    for name in CONSOLE_FILES:
        loaded |= {*re.findall(r'from "\./([^"]+)"', (await fetch(f"/console/{name}")).text)}
    assert loaded == {*CONSOLE_FILES}
