"""Which origins are let in."""

from collections.abc import Callable

import pytest

from pushgate.errors import ConfigError, UpgradeRefused
from pushgate.sessions.origins import Origins
from tests.rig.client import Refused, WsClient
from tests.rig.gateway import Gateway, make_token

LISTED = ("https://app.example.com", "https://*.example.org", "http://localhost:3000", "capacitor://localhost")


def passes(patterns: tuple[str, ...], origin: str | None) -> bool:
    try:
        Origins(patterns).check(origin)
    except UpgradeRefused:
        return False
    return True


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "https://app.example.com",
        "https://APP.example.com",
        "https://app.example.com:443",
        "https://a.example.org",
        "https://a.b.c.example.org",
        "http://localhost:3000",
        "capacitor://localhost",
    ],
)
def test_listed_origins_pass_and_what_is_no_browser(origin: str | None) -> None:
    assert passes(LISTED, origin)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "https://app.example.com.evil.test",
        "https://evil-example.org",
        "https://example.org",
        "https://.example.org",
        "https://a.example.org:8443",
        "http://a.example.org",
        "https://a.example.org@evil.test",
        "https://evil.test/.example.org",
        "https://evil.test#.example.org",
        "https://evil.test?.example.org",
        "https://a.example.org, https://app.example.com",
        "http://localhost",
        "https://*.example.org",
        "garbage",
        "https://" + "a." * 4000 + "example.org",
        "https://ämter.example.org",
    ],
)
def test_others_do_not(origin: str) -> None:
    assert not passes(LISTED, origin)


def test_without_a_list_all_pass() -> None:
    assert all(passes((), origin) for origin in (None, "", "null", "https://evil.test", "garbage"))


def test_null_passes_where_it_is_listed_and_nothing_else_then() -> None:
    assert passes(("null",), "null")
    assert not passes(("null",), "https://app.example.com")


def test_a_usual_port_that_is_written_and_ipv6() -> None:
    assert passes(("https://app.example.com:443",), "https://app.example.com")
    assert passes(("http://[::1]:8080",), "http://[::1]:8080")
    assert not passes(("http://[::1]:8080",), "http://[::2]:8080")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "app.example.com",
        "https://app.example.com/",
        "https://*",
        "https://*example.com",
        "https://a.*.example.com",
        "https://*.*.example.com",
        "https://app.example.com:*",
        "https://app example.com",
        "//app.example.com",
    ],
)
def test_bad_patterns_name_their_place(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"clients\.origins\[1\]: expected an origin .*, got ") as error:
        Origins(["https://app.example.com", pattern])
    assert repr(pattern) in str(error.value)


async def test_a_page_from_elsewhere_is_refused_before_its_token_is_looked_at(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway(origins=["https://app.example.com"])
    for path in ("/ws?token=nonsense", "/ws"):
        with pytest.raises(Refused) as refused:
            await WsClient.open(gateway.port, path, headers={"Origin": "https://evil.test"})
        assert refused.value.status == 403
    assert gateway.count("handshakes_refused_total", "origin") == 2
    assert gateway.count("handshakes_refused_total", "token") == 0
    path = f"/ws?token={make_token('alice')}"
    await WsClient.join(gateway.port, path, headers={"Origin": "https://app.example.com"})
    await WsClient.join(gateway.port, path)
    assert gateway.count("lobby") == 0
